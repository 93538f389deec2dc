// Elements and colours. Text enters the page as text nodes and attributes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "prose") node.append(...prose(value));
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// A sentence whose numbers are never broken at a line's end: 6.92e-4 has a hyphen that a browser would break at.
function prose(text) {
  return text.split(/(\S*\d\S*)/).map((part, k) => (k % 2 ? el("span", { class: "unbroken", text: part }) : part));
}

function write(node, text) {
  node.replaceChildren(...prose(text));
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const ICONS = {
  first: "M4 3V13M12 3L7 8L12 13",
  previous: "M10.5 3L5.5 8L10.5 13",
  next: "M5.5 3L10.5 8L5.5 13",
  last: "M12 3V13M4 3L9 8L4 13",
  play: "M4 3L12 8L4 13Z",
  pause: "M4 3H6V13H4ZM10 3H12V13H10Z",
};

const icon = (name) =>
  svg("svg", { viewBox: "0 0 16 16", class: `icon ${name}`, "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

const byId = (id) => document.getElementById(id);

// A token as it can be seen: spaces and line ends have signs of their own.
function visible(token) {
  if (token === " ") return "␣";
  return Array.from(
    token,
    (c) =>
      ({ "\n": "↵", "\r": "␍", "\t": "⇥" })[c] ||
      (/\p{Cc}|\p{Cf}/u.test(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c),
  ).join("");
}

// Blue below zero, red above, the page's own ground at zero; read from the style sheet, so light and dark have theirs.
function makeColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16));
  };
  return {
    zero: read("--zero"),
    positive: read("--positive"),
    negative: read("--negative"),
    light: read("--on-dark"),
    dark: read("--on-light"),
  };
}

function colourOf(colours, value, scale) {
  if (!Number.isFinite(value)) return [128, 128, 128];
  const share = Math.min(1, Math.abs(value) / (scale || 1)) ** 0.85;
  const end = value < 0 ? colours.negative : colours.positive;
  return colours.zero.map((channel, k) => Math.round(channel + (end[k] - channel) * share));
}

const css = (rgb) => `rgb(${rgb.join(" ")})`;

function paint(node, colours, value, scale) {
  const ground = colourOf(colours, value, scale);
  const linear = ground.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  node.style.backgroundColor = css(ground);
  node.style.color = css(luminance > 0.179 ? colours.dark : colours.light);
}

// A vector as a square of coloured pixels, row by row; the panel lays its units out the same way.
function sideOf(count) {
  const side = Math.ceil(Math.sqrt(count));
  for (let width = side; width <= 1.45 * side; width++) if (count % width === 0) return width;
  return side;
}

function picture(vector, colours, scale) {
  const width = sideOf(vector.length);
  const height = Math.ceil(vector.length / width);
  const canvas = el("canvas", { width, height, class: "heat", "aria-hidden": "true" });
  paintPicture(canvas, vector, colours, scale);
  return canvas;
}

const SHADES = 255; // of each sign, in a picture

// The colours of a picture as pixels, from the largest negative number to the largest positive one, and last of no number.
function paletteOf(colours) {
  if (!colours.palette) {
    const values = Array.from({ length: 2 * SHADES + 1 }, (_, k) => k / SHADES - 1);
    const bytes = [...values, NaN].flatMap((value) => [...colourOf(colours, value, 1), 255]);
    colours.palette = new Uint32Array(new Uint8ClampedArray(bytes).buffer);
  }
  return colours.palette;
}

function paintPicture(canvas, vector, colours, scale) {
  const palette = paletteOf(colours);
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  vector.forEach((value, k) => {
    const share = Math.max(-1, Math.min(1, value / (scale || 1)));
    pixels[k] = palette[Number.isFinite(value) ? Math.round((share + 1) * SHADES) : 2 * SHADES + 1];
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function largest(array) {
  return array.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
}
