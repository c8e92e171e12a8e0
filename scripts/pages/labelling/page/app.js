// The page as a whole: the queue, progress, views, errors and what is done at the end.

import { isSending, loadQueue, send } from "./api.js";
import { onClick } from "./buttons.js";
import { GridView } from "./grid.js";
import { NumberView } from "./number.js";
import { SingleView } from "./single.js";

const RATE_OVER = 20; // answers
const LONGEST_PAUSE_MS = 30000; // a longer gap is a break, not slowness
const element = (id) => document.getElementById(id);

const actions = { answer, skip, accept: advance, undo };
let single = null;
let grid = null;
let queue = [];
let status = null;
let isGrid = false;
let isResult = false;
let gaps = []; // milliseconds per picture of the latest answers
let lastAnswerAt = performance.now();

function answer(item, ...values) {
  advance([{ ...item, was: values }], [[item.img, ...values]], []);
}

function skip(item) {
  advance([item], [], [item.img]);
}

/** Show what comes next at once; if the answers did not reach the disk, ask the same pictures again. */
function advance(items, labels, skipped) {
  const now = performance.now();
  if (now - lastAnswerAt < LONGEST_PAUSE_MS * items.length) {
    const perPicture = (now - lastAnswerAt) / items.length;
    gaps = [...gaps, ...items.map(() => perPicture)].slice(-RATE_OVER * items.length);
  }
  lastAnswerAt = now;
  const asked = new Set(items.map((item) => item.img));
  queue = queue.filter((item) => !asked.has(item.img));
  status.done = Math.min(status.done + items.length, status.total);
  show();
  send("/api/label", { labels, skip: skipped }).then(update, (error) => {
    status.done -= items.length;
    putBack(items);
    fail(error);
  });
}

function undo() {
  send("/api/undo").then((value) => {
    update(value);
    if (value.items.length) putBack(value.items);
  }, fail);
}

function putBack(items) {
  const back = new Set(items.map((item) => item.img));
  queue = [...items, ...queue.filter((item) => !back.has(item.img))];
  isResult = false;
  show();
}

function update(value) {
  if (isSending()) return; // a later answer is counted on the page already
  status = value;
  showProgress();
  if (isResult || queue.length === 0) showResult();
}

function exportTable() {
  send("/api/export").then((value) => {
    isResult = true;
    show();
    update(value);
    element("done-text").textContent = value.message;
    element("next").textContent = value.next;
    element("next").hidden = false;
  }, fail);
}

function close() {
  send("/api/close").then(() => {
    for (const id of ["single", "grid", "error"]) element(id).hidden = true;
    element("done-title").textContent = "Closed. This tab can be closed, too.";
    for (const button of document.querySelectorAll("button")) button.disabled = true;
  }, fail);
}

function show() {
  const hasPictures = queue.length > 0 && !isResult;
  element("single").hidden = !hasPictures || isGrid;
  element("grid").hidden = !hasPictures || !isGrid;
  element("done").hidden = hasPictures;
  element("view").firstChild.textContent = isGrid ? "Single " : "Grid ";
  if (hasPictures) (isGrid ? grid : single).show(queue);
  else showResult();
  showProgress();
}

function showProgress() {
  const { done, total, skipped, men, women, bad } = status;
  element("bar").max = Math.max(total, 1);
  element("bar").value = done;
  const parts = [`${done} of ${total}`];
  if (status.mode !== "number") parts.push(`women ${women}, men ${men}, bad ${bad}`);
  if (skipped) parts.push(`${skipped} skipped`);
  if (gaps.length >= 3) {
    const perPicture = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const minutes = ((total - done) * perPicture) / 60000;
    parts.push(`${Math.round(60000 / perPicture)} per minute`);
    if (done < total) parts.push(minutes < 1 ? "less than a minute left" : `${Math.round(minutes)} min left`);
  }
  element("progress-text").textContent = parts.join(" · ");
}

function showResult() {
  const isCheck = status.mode === "check";
  const isDone = queue.length === 0;
  const all = isCheck
    ? "No label is left that the networks contradict."
    : `All ${status.total} are answered. A larger --count asks for more.`;
  element("done-title").textContent = isDone ? all : `${status.done} of ${status.total}`;
  if (!status.exported) {
    element("done-text").textContent = status.men + status.women
      ? "Every answer is on disk. Export writes them to the table that the filter stage learns from."
      : "Nothing is labelled yet.";
    element("next").hidden = true;
  }
  if (status.table && !isSending()) element("done-text").textContent = `Every answer is in ${status.table}.`;
  element("done-export").hidden = status.exported;
  element("see-skipped").hidden = !status.skipped || !isDone;
  element("go-on").hidden = isDone;
  element("close").hidden = !status.exported;
}

function fail(error) {
  element("error-text").textContent = error.message;
  element("error").hidden = false;
  showProgress();
}

async function load(skipped = false) {
  try {
    const value = await loadQueue(skipped);
    queue = value.items;
    status = value;
    if (!single) {
      single = value.mode === "number" ? new NumberView(actions, value) : new SingleView(actions);
      isGrid = value.grid;
      grid = new GridView(actions, value.pageSize);
      document.body.classList.add(value.mode);
      if (value.mode === "check") element("title").textContent = document.title = "Check labels";
    }
    isResult = false;
    show();
  } catch (error) {
    fail(error);
  }
}

function toggleView() {
  isGrid = !isGrid;
  isResult = false;
  show();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || !status) return;
  if (!element("error").hidden || event.target.matches("select")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isOnButton = event.target.matches("button:not(.face)") && (key === "Enter" || key === " ");
  if (isOnButton || !handle(key, event.shiftKey)) return;
  event.preventDefault();
}

/** Returns true if the key meant something. */
function handle(key, shift) {
  const hasPictures = queue.length > 0 && !isResult;
  if (key === "e") exportTable();
  else if (key === "v" && status.mode !== "number") toggleView();
  else if (key === "r" && !element("see-skipped").hidden && !element("done").hidden) load(true);
  else if (hasPictures) return (isGrid ? grid : single).key(key, shift);
  else if (key === "u" || key === "Backspace") undo();
  else return false;
  return true;
}

addEventListener("keydown", onKey);
for (const [id, action] of Object.entries({
  "view": toggleView, "export": exportTable, "done-export": exportTable, "done-undo": undo, "close": close,
  "see-skipped": () => load(true), "reload": () => location.reload(),
  "go-on": () => { isResult = false; show(); },
  "dismiss": () => { element("error").hidden = true; },
})) {
  onClick(element(id), action);
}
load();
