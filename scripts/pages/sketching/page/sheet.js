// The sheet: strokes of pen and eraser on a canvas, by mouse, pen or finger.

const INK = "#111";
const PAPER = "#fff";
const ERASER_FACTOR = 5;

/** Strokes as {tool, width, points} with positions in shares of the side; `onChange(isDone)` after each change. */
export class Sheet {
  constructor(canvas, setting, onChange) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.setting = setting;
    this.onChange = onChange;
    this.strokes = [];
    this.active = new Map();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.end(event));
    this.paint();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const side = Math.min(box.width, box.height);
    const left = box.left + (box.width - side) / 2;
    const top = box.top + (box.height - side) / 2;
    return [(event.clientX - left) / side, (event.clientY - top) / side];
  }

  begin(event) {
    if (event.button > 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const { tool, width, mirror } = this.setting();
    const points = [this.place(event)];
    const group = [{ tool, width, points }];
    if (mirror) group.push({ tool, width, points: points.map(([x, y]) => [1 - x, y]) });
    this.active.set(event.pointerId, group);
    this.strokes.push(group);
    this.changed(false);
  }

  go(event) {
    const group = this.active.get(event.pointerId);
    if (!group) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const [x, y] = this.place(one);
      group[0].points.push([x, y]);
      if (group[1]) group[1].points.push([1 - x, y]);
    }
    this.changed(false);
  }

  end(event) {
    if (this.active.delete(event.pointerId)) this.changed(true);
  }

  /** Replace everything by strokes of pen width; undo brings it back. */
  replace(lines, width) {
    this.strokes.push([{ tool: "clear" }, ...lines.map((points) => ({ tool: "pen", width, points }))]);
    this.changed(true);
  }

  undo() {
    if (this.strokes.pop()) this.changed(true);
  }

  changed(isDone) {
    this.paint();
    this.onChange(isDone);
  }

  get isEmpty() {
    return !this.visible().some((one) => one.tool === "pen");
  }

  paint() {
    const { context, canvas } = this;
    const side = canvas.width;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of [{ tool: "clear" }, ...this.strokes.flat()]) {
      if (stroke.tool === "clear") {
        context.fillStyle = PAPER;
        context.fillRect(0, 0, side, side);
        continue;
      }
      context.strokeStyle = stroke.tool === "pen" ? INK : PAPER;
      context.lineWidth = (stroke.width / 256) * side * (stroke.tool === "pen" ? 1 : ERASER_FACTOR);
      context.beginPath();
      const [[x, y]] = stroke.points;
      context.moveTo(x * side, y * side);
      for (const [nextX, nextY] of stroke.points) context.lineTo(nextX * side, nextY * side);
      context.stroke();
    }
  }

  /** The strokes since the sheet was cleared, in order. */
  visible() {
    const flat = this.strokes.flat();
    return flat.slice(flat.findLastIndex((one) => one.tool === "clear") + 1);
  }
}
