// The search of the theme runs in a worker, and browsers start none for a page that is opened from a file: there, a
// hidden frame takes its place.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inner = frame.contentWindow
      window.addEventListener("message", ({ source, data }) => {
        if (source === this.inner) this.dispatchEvent(new MessageEvent("message", { data }))
      })
      const load = (address) =>
        new Promise((done, failed) => {
          const script = this.inner.document.createElement("script")
          Object.assign(script, { src: address, onload: done, onerror: failed })
          this.inner.document.body.append(script)
        })
      this.inner.importScripts = (...each) => each.reduce((last, one) => last.then(() => load(one)), Promise.resolve())
      // What the script in the frame posts goes to this page, what this page posts to the script.
      this.send = this.inner.postMessage.bind(this.inner)
      this.inner.postMessage = (data) => window.dispatchEvent(new MessageEvent("message", { source: this.inner, data }))
      this.ready = load(new URL(url, location.href).href)
    }
    postMessage(data) {
      this.ready.then(() => this.send(data, "*"))
    }
    terminate() {
      this.inner.frameElement.remove()
    }
  }
