// Search runs in a worker, which browsers refuse to pages that are opened from a folder. There a hidden frame does its work.
class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.appendChild(frame);
    this.inside = frame.contentWindow;
    this.hear = (event) => {
      if (event.source !== this.inside) return;
      const heard = new MessageEvent("message", { data: event.data });
      this.dispatchEvent(heard);
      if (this.onmessage) this.onmessage(heard);
    };
    window.addEventListener("message", this.hear);
    this.ready = new Promise((resolve) => {
      const script = (source) => `<script src="${source}"><\/script>`;
      this.inside.document.open();
      this.inside.document.write(
        `<script>postMessage = (data) => parent.postMessage(data, "*");
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done) => {
          const part = document.createElement("script");
          part.src = url;
          part.onload = done;
          document.body.appendChild(part);
        })), Promise.resolve());<\/script><body>${script(new URL(url, location.href))}`,
      );
      this.inside.document.close();
      frame.onload = resolve;
      if (this.inside.document.readyState === "complete") resolve();
    });
  }
  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
  }
  terminate() {
    window.removeEventListener("message", this.hear);
    this.inside.frameElement.remove();
  }
}
// Under this name the theme looks for it, to find the parts that its worker imports.
if (location.protocol === "file:") window.IFrameWorker = window.Worker = FrameWorker;
