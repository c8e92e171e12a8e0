// Photographs: given by the file dialog or dropped on the page; explore seeks the person, better and better.

import { send } from "/shared/messages.js";

const ASK_AGAIN_MS = 400;

/**
 * Photographs whose people explore has found or seeks, by the name it gave them.
 * `onFound(photograph)` is called with what explore says of a new one, `onBetter(progress, ownBefore)` when the person
 * of one has been found better, `say(text)` and `fail(error)` with messages. `panel` shows how far the search has come.
 */
export class Photographs {
  found = new Map();
  followed = null;

  constructor(state, panel, { onFound, onBetter, say, fail }) {
    Object.assign(this, { state, panel, onFound, onBetter, say, fail });
    panel.querySelector("button").addEventListener("click", () => this.stop());
  }

  /** Explain why there is no generator for photographs, or null. */
  get missing() {
    return this.state.photographs ? null : new Error(
      "Editing a photograph needs a generator with dials, which this workspace does not have. Make it:\n" +
        this.state.photographsCommand,
    );
  }

  async upload(file) {
    try {
      if (this.missing) throw this.missing;
      const megabytes = this.state.largestPhotographBytes / 2 ** 20;
      if (file.size > this.state.largestPhotographBytes) {
        throw new Error(`${file.name} is larger than ${megabytes} MB; give a smaller copy of it.`);
      }
      this.say(`Reading ${file.name} …`);
      const content = await toBase64(file);
      const photograph = await send("/api/photograph", { name: file.name, content });
      this.say(`${file.name}: ${photograph.framing}. The dials start at what the photograph has.`);
      this.keep(photograph, file.name);
    } catch (error) {
      this.say("");
      this.fail(error);
    }
  }

  /** Take up a photograph that the workspace kept. */
  async restore(name) {
    this.say("Reading the photograph again …");
    const photograph = await send("/api/photograph", { photograph: name });
    this.found.set(name, photograph);
    this.say("");
    this.follow(photograph);
  }

  keep(photograph, fileName) {
    this.found.set(photograph.photograph, photograph);
    this.onFound(photograph);
    this.follow(photograph);
    if (!photograph.isFaceMissing) return;
    this.fail(new Error(
      `No face was found in ${fileName}, so the square in its middle was taken; what you see may not resemble it. ` +
        "Give a picture in which the face is larger and seen from the front.",
    ));
  }

  /** Show better pictures of a photographed person as they come. */
  async follow({ photograph, isSearching, step, of }) {
    this.followed = photograph;
    let seen = step;
    this.showProgress({ isSearching, step, of });
    while (isSearching && this.followed === photograph) {
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      try {
        const progress = await send("/api/progress", { photograph });
        isSearching = progress.isSearching;
        if (this.followed !== photograph) return;
        this.showProgress(progress);
        if (progress.step !== seen || !isSearching) this.better(progress);
        seen = progress.step;
      } catch (error) {
        this.showProgress({ isSearching: false });
        this.fail(error);
        return;
      }
    }
  }

  better(progress) {
    const known = this.found.get(progress.photograph);
    const before = known.own;
    Object.assign(known, progress);
    this.onBetter(progress, before);
  }

  /** Be content with what was found so far. */
  async stop() {
    this.panel.querySelector("button").disabled = true;
    try {
      this.showProgress(await send("/api/progress", { photograph: this.followed, stop: true }));
    } catch (error) {
      this.fail(error);
    }
  }

  showProgress({ isSearching, step, of }) {
    this.panel.hidden = !isSearching;
    this.panel.querySelector("button").disabled = !isSearching;
    if (!isSearching) return;
    Object.assign(this.panel.querySelector("progress"), { max: of, value: step });
    this.panel.querySelector("span").textContent = `Coming nearer to the photograph: step ${step} of ${of}`;
  }

  /** Take files that are dropped anywhere on the page. */
  takeDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(true);
    });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(false);
      this.upload(event.dataTransfer.files[0]);
    });
  }
}

function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}
