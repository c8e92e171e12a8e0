// The page as a whole: who is shown, by which generator, with which dials.

import { latestOnly, loadState, send } from "./api.js";
import { Dials } from "./dials.js";
import { showCommand, Strip } from "./strip.js";

const ONE_GESTURE_MS = 1200; // turns of one dial that follow each other this closely are one change
const element = (id) => document.getElementById(id);
const picture = (id) => element(id).querySelector("img");

let state = null;
let dials = null;
let strip = null;
let version = "";
let photograph = null; // { photograph, png, framing, own }
let own = null;
let shown = null; // what the newest picture shows: { message, answer }
let before = null; // what was shown ahead of the latest change
let lastTurn = { name: "", at: 0 };

const seed = () => element("seed").valueAsNumber;
const refresh = latestOnly("/api/picture", current, show, fail);
const refreshBase = latestOnly("/api/picture", baseSetting, showBase, fail);

function current() {
  const person = photograph ? { photograph: photograph.photograph } : { seed: seed() };
  return { version, ...person, properties: dials.values };
}

function baseSetting() {
  if (photograph || !state.versions.includes("base")) return null;
  return { version: "base", seed: seed(), properties: dials.medians() };
}

function source(png) {
  return `data:image/png;base64,${png}`;
}

function describe(message) {
  const who = message.photograph ? "photograph" : `seed ${message.seed}`;
  return `${message.version}, ${who}`;
}

function show(answer, message) {
  shown = { message, answer };
  picture("now").src = source(answer.png);
  picture("now").alt = `${describe(message)} with the dials as they are`;
  element("now").querySelector("span").textContent = describe(message);
  showCommand(element("command"), answer.command);
  own = answer.own;
  dials.showOwn(own);
  element("own").disabled = !own;
  element("own-key").hidden = !own;
  strip.settingChanged(message);
}

function showBase(answer, message) {
  picture("base").src = source(answer.png);
  picture("base").alt = `base generator, seed ${message.seed}`;
  element("base").querySelector("strong").textContent = "Base";
  element("base").querySelector("span").textContent = `no dials, seed ${message.seed}`;
}

/** Remember what is shown before it changes; a dial that is being turned is one change. */
function remember(name = "") {
  const now = performance.now();
  const isSameGesture = name && name === lastTurn.name && now - lastTurn.at < ONE_GESTURE_MS;
  lastTurn = { name, at: now };
  if (isSameGesture || !shown) return;
  before = shown;
  picture("previous").src = source(before.answer.png);
  picture("previous").alt = `before: ${describe(before.message)}`;
  element("previous").querySelector("span").textContent = describe(before.message);
}

function personChanged() {
  strip.hide();
  refreshBase();
  refresh();
}

function setVersion(name) {
  version = name;
  element("versions").querySelector(`[value="${name}"]`).checked = true;
  const hasDials = name !== "base";
  dials.enable(hasDials);
  element("reset").disabled = !hasDials;
  element("note").hidden = hasDials;
  element("note").textContent = "The base generator has no dials; choose a fine-tuned version to turn them.";
}

function leavePhotograph() {
  photograph = null;
  element("seeds-again").hidden = true;
  lock();
}

function lock() {
  const isHeld = element("hold").checked;
  element("seed").disabled = element("dice").disabled = isHeld || photograph !== null;
  element("upload").disabled = element("seeds-again").disabled = isHeld;
  if (!state.photographs) element("upload").disabled = true;
  for (const input of element("versions").querySelectorAll("input")) {
    const isMissing = !state.versions.includes(input.value);
    input.disabled = isMissing || (photograph !== null && input.value !== "v3");
  }
}

function say(text) {
  element("status").textContent = text;
}

function fail(error) {
  element("error-text").textContent = error.message;
  element("error").hidden = false;
}

function back() {
  if (!before) return;
  const { message } = before;
  if ((message.photograph ?? null) !== (photograph?.photograph ?? null)) {
    if (message.photograph || element("hold").checked) return say("That was another person.");
    leavePhotograph();
  }
  if (!photograph && message.seed !== seed()) {
    if (element("hold").checked) return say("That was another person, and this one is held.");
    element("seed").value = message.seed;
  }
  remember();
  setVersion(message.version);
  dials.set(message.properties);
  personChanged();
}

function readFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function upload(file) {
  say(`Reading ${file.name} …`);
  try {
    const found = await send("/api/photograph", { name: file.name, content: await readFile(file) });
    remember();
    photograph = found;
    setVersion("v3");
    dials.set(found.own);
    picture("base").src = source(found.png);
    picture("base").alt = "the photograph as v3 sees it";
    element("base").querySelector("strong").textContent = "Photograph";
    element("base").querySelector("span").textContent = found.framing;
    element("seeds-again").hidden = false;
    lock();
    strip.hide();
    refresh();
    say(`${file.name}: ${found.framing}. The dials start at what the photograph has.`);
  } catch (error) {
    say("");
    fail(error);
  }
}

function save() {
  const bytes = Uint8Array.from(atob(shown.answer.png), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  link.download = shown.answer.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`Saved as ${shown.answer.name}; the settings and the command are inside it.`);
}

async function copy(command) {
  try {
    await navigator.clipboard.writeText(command.textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(command);
    say("The browser does not let this page copy; the command is selected, so Ctrl-C copies it.");
  }
}

function buildVersions() {
  for (const name of [...state.versions, ...Object.keys(state.missing)].sort()) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "version", value: name });
    const command = state.missing[name];
    if (command) label.title = `not in this workspace; made by: ${command}`;
    label.append(input, name);
    input.addEventListener("change", () => {
      remember();
      setVersion(name);
      strip.hide();
      refresh();
    });
    element("versions").append(label);
  }
}

function connect() {
  const clicks = {
    "dice": () => {
      remember();
      element("seed").value = Math.floor(Math.random() * 1e6);
      personChanged();
    },
    "reset": () => { remember(); dials.set(dials.medians()); refresh(); },
    "own": () => { remember(); dials.set(own); refresh(); },
    "copy": () => copy(element("command")),
    "strip-copy": () => copy(element("strip-panel").querySelector("pre")),
    "save": save,
    "strip-close": () => strip.hide(),
    "upload": () => element("file").click(),
    "seeds-again": () => { remember(); leavePhotograph(); personChanged(); },
    "reload": () => location.reload(),
    "dismiss": () => { element("error").hidden = true; },
    "close": () => send("/api/close").then(() => {
      document.querySelector("main").inert = true;
      say("Closed. This tab can be closed, too.");
    }, fail),
  };
  for (const [id, action] of Object.entries(clicks)) element(id).addEventListener("click", action);
  element("previous").querySelector("button").addEventListener("click", back);
  element("hold").addEventListener("change", lock);
  element("seed").addEventListener("change", () => {
    const given = seed();
    const whole = Number.isNaN(given) ? 0 : Math.trunc(given);
    element("seed").value = Math.min(Math.max(whole, 0), state.largestSeed);
    remember();
    personChanged();
  });
  element("file").addEventListener("change", () => {
    const [file] = element("file").files;
    element("file").value = "";
    if (file) upload(file);
  });
}

async function start() {
  try {
    state = await loadState();
  } catch (error) {
    fail(error);
    return;
  }
  document.title = `Explorer: ${state.workspace}`;
  element("seed").max = state.largestSeed;
  buildVersions();
  dials = new Dials(element("dials"), state.dials, {
    onBegin: remember, onTurned: refresh, onStrip: (name) => strip.ask(name),
  });
  strip = new Strip(element("strip-panel"), current, (name, value) => {
    remember();
    dials.set({ [name]: value });
    refresh();
  }, fail);
  if (!state.photographs) {
    element("upload").textContent = "Edit a photograph (needs v3)";
    element("upload").title = `made by: ${state.photographsCommand}`;
  }
  connect();
  setVersion(state.versions.at(-1));
  lock();
  personChanged();
}

start();
