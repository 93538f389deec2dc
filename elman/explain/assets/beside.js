// How much each step of one input moves the last state of several layers, side by side.

const FLOOR = 1e-10; // of the largest; less is drawn as nothing

function drawBeside(app) {
  const { beside } = app.data;
  const box = byId("beside");
  box.hidden = !beside;
  if (!beside) return;
  const { say } = app;
  const rows = Object.entries(beside).map(([name, norms]) => {
    const most = largest(norms);
    const bars = svg("svg", { viewBox: `0 0 ${norms.length} 10`, preserveAspectRatio: "none", "aria-hidden": "true" });
    norms.forEach((value, t) => {
      const share = value > 0 ? Math.max(0, 1 - Math.log10(value / most) / Math.log10(FLOOR)) : 0;
      bars.append(svg("rect", { x: t + 0.12, width: 0.76, y: 10 - 10 * share, height: 10 * share }));
    });
    const known = norms.every((value) => value !== null);
    const said = known ? say.besideSaid(short(norms[0] / norms.at(-1))) : say.influenceSaid("bad");
    return el("tr", {}, el("th", { scope: "row", text: name }), el("td", { class: "plot" }, bars), el("td", { prose: said }));
  });
  box.replaceChildren(
    el("h3", { text: say.besideTitle }),
    el("table", {}, el("tbody", {}, ...rows)),
    el("p", { class: "quiet", prose: say.besideScale(Object.values(beside)[0].length - 1) }),
  );
}
