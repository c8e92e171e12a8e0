// A strip: the same person along one dial.

import { latestOnly } from "/shared/messages.js";
import { message } from "./setting.js";

const COUNT = 7;
const SETTLED_MS = 400;

/** Show a command line in parts that stay together: the program, and each option with its value. */
export function showCommand(parent, command) {
  const parts = command.split(/ (?=--)/).map((part) => {
    const span = document.createElement("span");
    span.textContent = part;
    return span;
  });
  parent.replaceChildren(...parts.flatMap((part, index) => (index ? [" ", part] : [part])));
}

/**
 * `current` gives the setting, `onChoose(dial, value)` is called for a picture that is clicked, `onDial(name)` when
 * the strip shows another dial ("": hidden).
 */
export class Strip {
  constructor(panel, { current, onChoose, onDial, onError }) {
    this.panel = panel;
    this.onChoose = onChoose;
    this.onDial = onDial;
    this.dial = "";
    const settings = () => (this.dial ? { ...message(current()), dial: this.dial, count: COUNT } : null);
    this.refresh = latestOnly("/api/strip", settings, (answer, asked) => this.show(answer, asked), onError);
  }

  toggle(dial) {
    if (dial === this.dial) {
      this.hide();
      return;
    }
    this.dial = dial;
    this.onDial(dial);
    this.refresh();
  }

  hide() {
    this.dial = "";
    this.panel.hidden = true;
    this.onDial("");
  }

  /** Another picture is shown: mark where its dial stands, and make the strip anew once the others rest. */
  settingChanged(setting) {
    if (!this.dial) return;
    clearTimeout(this.timer);
    const isStale = this.others(message(setting)) !== this.shown;
    this.panel.classList.toggle("stale", isStale);
    if (isStale) this.timer = setTimeout(this.refresh, SETTLED_MS);
    else this.mark(setting);
  }

  /** What a strip depends on: all but the value of its own dial. */
  others({ dial, count, ...setting }) {
    return JSON.stringify({ ...setting, properties: { ...setting.properties, [this.dial]: this.dial } });
  }

  show(answer, asked) {
    if (this.dial !== asked.dial) return;
    this.shown = this.others(asked);
    const buttons = answer.pictures.map((one) => this.button(asked.dial, one));
    this.panel.querySelector("#strip").replaceChildren(...buttons);
    const title = asked.dial.replace("_", " ");
    this.panel.querySelector("h2").textContent = `Along ${title}`;
    showCommand(this.panel.querySelector("pre"), answer.command);
    this.panel.classList.remove("stale");
    this.mark(asked);
    if (!this.panel.hidden) return;
    this.panel.hidden = false;
    this.panel.scrollIntoView({ block: "nearest" }); // on a phone it lies below the dials
  }

  button(dial, { png, value }) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = `data:image/png;base64,${png}`;
    image.alt = `${dial.replace("_", " ")} at`;
    Object.assign(button, { type: "button", title: "set the dial to this", value });
    button.append(image, value.toFixed(2));
    button.addEventListener("click", () => this.onChoose(dial, value));
    return button;
  }

  mark({ properties }) {
    const buttons = [...this.panel.querySelectorAll("#strip button")];
    const distances = buttons.map((button) => Math.abs(button.value - properties[this.dial]));
    const nearest = distances.indexOf(Math.min(...distances));
    buttons.forEach((button, index) => button.setAttribute("aria-current", index === nearest));
  }
}
