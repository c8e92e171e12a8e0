// The page: tools, the portrait beside the sheet while it is drawn, seeds, colours, saving.

import { Sheet } from "./sheet.js";
import { latestOnly, request, send } from "/shared/messages.js";

const SEVERAL = 6;
const element = (id) => document.getElementById(id);
const state = await request("/api/state");
const picture = (png) => `data:image/png;base64,${png}`;

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
  const said = name.replace("_", " ");
  part.querySelector("label span").textContent = said;
  field.setAttribute("aria-label", `colour of ${said}`);
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
  element("portrait").src = picture(first);
  for (const [name, one] of chosen) if (!one.box.checked) one.field.value = answer.colors[name];
  element("others").replaceChildren(
    ...others.map((png, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `seed ${seeds()[0] + index + 1}`;
      button.append(Object.assign(new Image(), { src: picture(png), alt: button.title }));
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

let isCheckWanted = false;

const refresh = latestOnly(
  "/api/draw",
  () => {
    if (sheet.isEmpty) {
      element("portrait").removeAttribute("src");
      element("others").replaceChildren();
      return null;
    }
    const check = isCheckWanted;
    isCheckWanted = false;
    return message(check);
  },
  (answer) => { show(answer); fail(null); },
  (error) => {
    if (sheet.active.size) element("note").textContent = error.message;
    else fail(error);
  },
);

/** Ask for the portrait of the sheet as it is now, and once the pen is up whether it is a face. */
function ask(isDone) {
  isCheckWanted ||= isDone;
  element("command").hidden = true;
  refresh();
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
