// The page: tools, the portrait beside the sheet while it is drawn, seeds, colours, saving.

import { loadState, send } from "./api.js";
import { Sheet } from "./sheet.js";

const SEVERAL = 6;
const element = (id) => document.getElementById(id);
const state = await loadState();

const sheet = new Sheet(
  element("canvas"),
  () => ({
    tool: document.querySelector('input[name="tool"]:checked').value,
    width: Number(element("width").value),
    mirror: element("mirror").checked,
  }),
  (isDone) => ask(isDone),
);

const chosen = new Map(); // name -> its check box and colour field
for (const name of state.colors) {
  const part = element("color").content.cloneNode(true);
  const [box, field] = part.querySelectorAll("input");
  part.querySelector("label span").textContent = name;
  field.setAttribute("aria-label", `colour of ${name}`);
  field.id = `color-${name}`;
  box.id = `use-${name}`;
  field.addEventListener("input", () => { box.checked = true; ask(true); });
  box.addEventListener("change", () => ask(true));
  chosen.set(name, { box, field });
  element("colors").append(part);
}

function seeds() {
  const first = Math.max(0, Math.floor(Number(element("seed").value) || 0));
  return Array.from({ length: element("several").checked ? SEVERAL : 1 }, (_, index) => first + index);
}

function message(check) {
  const used = [...chosen].filter(([, one]) => one.box.checked).map(([name, one]) => [name, one.field.value]);
  return { strokes: sheet.visible(), seeds: seeds(), colors: Object.fromEntries(used), check };
}

function fail(error) {
  element("error").hidden = !error;
  element("error-text").textContent = error ? error.message : "";
}

function show(answer) {
  const [first, ...others] = answer.portraits;
  element("portrait").src = first;
  for (const [name, one] of chosen) if (!one.box.checked) one.field.value = answer.colors[name];
  element("others").replaceChildren(
    ...others.map((address, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `seed ${seeds()[0] + index + 1}`;
      const picture = document.createElement("img");
      picture.src = address;
      picture.alt = button.title;
      button.append(picture);
      button.addEventListener("click", () => { element("seed").value = seeds()[0] + index + 1; ask(true); });
      return button;
    }),
  );
  if ("face" in answer) {
    element("note").textContent = answer.face
      ? "A face is found in it. That says a face, not a good face."
      : "No face is found in it yet. Outline, eyes, nose and mouth, from the front, help.";
  }
}

let isSending = false;
let isStale = false;
let isCheckWanted = false;

/** Ask for the portrait of the sheet as it is now; while one is on its way, newer wishes replace each other. */
async function ask(isDone) {
  isStale = true;
  isCheckWanted ||= isDone;
  element("command").hidden = true;
  if (isSending) return;
  isSending = true;
  while (isStale) {
    isStale = false;
    if (sheet.isEmpty) {
      element("portrait").removeAttribute("src");
      element("others").replaceChildren();
      break;
    }
    const check = isCheckWanted;
    isCheckWanted = false;
    try {
      show(await send("/api/draw", message(check)));
      fail(null);
    } catch (error) {
      if (sheet.active.size) element("note").textContent = error.message;
      else fail(error);
    }
  }
  isSending = false;
}

element("template").disabled = state.templates === 0;
if (state.templates === 0) element("template").title = "30_make_sketch_pairs.py makes sketches to start from";
element("template").addEventListener("click", async () => {
  try {
    const number = Math.floor(Math.random() * state.templates);
    sheet.replace((await send("/api/template", { number })).strokes, 2);
  } catch (error) {
    fail(error);
  }
});
element("clear").addEventListener("click", () => sheet.replace([], 2));
element("undo").addEventListener("click", () => sheet.undo());
addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "z" && event.target.type !== "number") {
    event.preventDefault();
    sheet.undo();
  }
});
element("dice").addEventListener("click", () => {
  element("seed").value = Math.floor(Math.random() * 1e6);
  ask(true);
});
for (const id of ["seed", "several"]) element(id).addEventListener("input", () => ask(true));
element("save").addEventListener("click", async () => {
  try {
    const saved = await send("/api/save", message(false));
    element("command").textContent = `${saved.portrait}\n${saved.command}\n\nTurn the dials of this face:\n${saved.dials}`;
    element("command").hidden = false;
    fail(null);
  } catch (error) {
    fail(error);
  }
});
element("close").addEventListener("click", async () => {
  await send("/api/close");
  element("note").textContent = "Closed. The script has ended.";
});
document.body.dataset.ready = "true";
