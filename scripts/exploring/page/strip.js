// A strip: the same person along one dial.

import { latestOnly } from "./api.js";

const COUNT = 7;
const SETTLED_MS = 400;

/** Show a command line word by word, so that no line ends inside an option. */
export function showCommand(parent, command) {
  const words = command.split(" ").map((word) => {
    const span = document.createElement("span");
    span.textContent = word;
    return span;
  });
  parent.replaceChildren(...words.flatMap((word, index) => (index ? [" ", word] : [word])));
}

/** `current` gives the setting, `onChoose(dial, value)` is called for a picture that is clicked. */
export class Strip {
  constructor(panel, current, onChoose, onError) {
    this.panel = panel;
    this.onChoose = onChoose;
    this.dial = null;
    const settings = () => (this.dial ? { ...current(), dial: this.dial, count: COUNT } : null);
    const show = (answer, message) => this.show(answer, message);
    this.refresh = latestOnly("/api/strip", settings, show, onError);
  }

  ask(dial) {
    this.dial = dial;
    this.refresh();
  }

  hide() {
    this.dial = null;
    this.panel.hidden = true;
  }

  /** Another picture is shown: mark where its dial stands, and make the strip anew once the dials rest. */
  settingChanged(message) {
    if (!this.dial) return;
    this.mark(message);
    const others = JSON.stringify({ ...message, properties: { ...message.properties, [this.dial]: 0 } });
    if (others === this.others) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.refresh, SETTLED_MS);
  }

  show(answer, message) {
    const { dial, count, ...setting } = message;
    if (this.dial !== dial) return;
    this.others = JSON.stringify({ ...setting, properties: { ...setting.properties, [dial]: 0 } });
    const buttons = answer.pictures.map((one) => this.button(dial, one));
    this.panel.querySelector("#strip").replaceChildren(...buttons);
    this.panel.querySelector("h2").textContent = `Along ${dial.replace("_", " ")}`;
    showCommand(this.panel.querySelector("pre"), answer.command);
    this.mark(message);
    if (!this.panel.hidden) return;
    this.panel.hidden = false;
    this.panel.scrollIntoView({ block: "nearest" }); // on a phone it lies below the dials
  }

  button(dial, { png, value }) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = `data:image/png;base64,${png}`;
    image.alt = "";
    Object.assign(button, { type: "button", title: "set the dial to this", value });
    button.append(image, value.toFixed(2));
    button.addEventListener("click", () => this.onChoose(dial, value));
    return button;
  }

  mark({ properties }) {
    const buttons = [...this.panel.querySelectorAll("#strip button")];
    const distances = buttons.map((button) => Math.abs(button.value - properties[this.dial]));
    const nearest = distances.indexOf(Math.min(...distances));
    buttons.forEach((button, index) => button.classList.toggle("near", index === nearest));
  }
}
