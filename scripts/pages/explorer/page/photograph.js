// Photographs: given by the file dialog or dropped on the page, encoded by v3.

import { send } from "./api.js";

/**
 * Photographs that explore has encoded, by the name it gave them.
 * `onFound(photograph)` is called with what explore says of a new one, `say(text)` and `fail(error)` with messages.
 */
export class Photographs {
  found = new Map();

  constructor(state, { onFound, say, fail }) {
    Object.assign(this, { state, onFound, say, fail });
  }

  /** Explain why there is no v3, or null. */
  get missing() {
    return this.state.photographs ? null : new Error(
      `Editing a photograph needs v3, which this workspace does not have. Make it:\n${this.state.photographsCommand}`,
    );
  }

  async upload(file) {
    try {
      if (this.missing) throw this.missing;
      const megabytes = this.state.largestPhotographBytes / 2 ** 20;
      if (file.size > this.state.largestPhotographBytes) {
        throw new Error(`${file.name} is larger than ${megabytes} MB; give a smaller copy of it.`);
      }
      this.say(`Reading ${file.name}; this takes some seconds …`);
      const content = await toBase64(file);
      const photograph = await send("/api/photograph", { name: file.name, content });
      this.say(`${file.name}: ${photograph.framing}. The dials start at what the photograph has.`);
      this.keep(photograph, file.name);
    } catch (error) {
      this.say("");
      this.fail(error);
    }
  }

  /** Encode a photograph that the workspace kept, unless that is done. */
  async restore(name) {
    this.say("Reading the photograph again; this takes some seconds …");
    const photograph = await send("/api/photograph", { photograph: name });
    this.found.set(name, photograph);
    this.say("");
  }

  keep(photograph, fileName) {
    this.found.set(photograph.photograph, photograph);
    this.onFound(photograph);
    if (!photograph.isFaceMissing) return;
    this.fail(new Error(
      `No face was found in ${fileName}, so the square in its middle was taken; what you see may not resemble it. ` +
        "Give a picture in which the face is larger and seen from the front.",
    ));
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
