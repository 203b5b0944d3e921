// One picture whose boxes are moved, resized, drawn and removed with a mouse, a pen or a finger.
// Boxes are [x0, y0, x1, y1, whether they are the person's], in pixels of the picture; sides go where whole pixels end.

const REACH = { mouse: 9, pen: 12, touch: 20 }; // how near a side is caught, in pixels of the screen
const LEAST = 4; // a shorter drag beside all boxes is a click
const CURSORS = { "0-": "ew", "2-": "ew", "-1": "ns", "-3": "ns", "01": "nwse", "23": "nwse", "21": "nesw", "03": "nesw" };

const editor = {
  svg: null, size: [1, 1], boxes: [], selected: -1, held: null, window: [0, 0, 1, 1], changed: null,

  begin(svg, changed) {
    Object.assign(editor, { svg, changed });
    svg.addEventListener("pointerdown", editor.press);
    svg.addEventListener("pointermove", editor.move);
    svg.addEventListener("pointerup", editor.release);
    svg.addEventListener("pointercancel", editor.cancel);
    svg.addEventListener("wheel", editor.zoom, { passive: false });
    new ResizeObserver(editor.redraw).observe(svg);
  },

  show(source, size, boxes) {
    const again = editor.source === source;
    Object.assign(editor, { source, size, boxes: boxes.map((box) => [...box]), held: null });
    editor.selected = again ? Math.min(editor.selected, boxes.length - 1) : boxes.length - 1;
    if (again) return editor.redraw();
    editor.window = [0, 0, ...size];
    const [width, height] = size;
    editor.svg.replaceChildren(draw("image", { href: source, width, height, preserveAspectRatio: "none" }), draw("g", {}));
    editor.redraw();
  },

  redraw() {
    if (!editor.svg.lastChild) return;
    editor.svg.setAttribute("viewBox", editor.window.join(" "));
    const layer = editor.svg.lastChild;
    layer.replaceChildren();
    for (const box of editor.boxes) outline(layer, [editor.upright(box)], box[4] ? "truth" : "found");
    const box = editor.boxes[editor.selected];
    if (!box) return;
    const [x0, y0, x1, y1] = editor.upright(box);
    const side = 9 / editor.scale();
    for (const x of [x0, (x0 + x1) / 2, x1]) for (const y of [y0, (y0 + y1) / 2, y1]) {
      if (x === (x0 + x1) / 2 && y === (y0 + y1) / 2) continue;
      layer.append(draw("rect", { x: x - side / 2, y: y - side / 2, width: side, height: side, class: "handle" }));
    }
  },

  upright: ([x0, y0, x1, y1, mine]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1), mine],

  scale: () => editor.svg.getScreenCTM()?.a || 1,

  at({ clientX, clientY }) {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(editor.svg.getScreenCTM().inverse());
    return [x, y];
  },

  // What lies under a place: a side or a corner, of the selected box first; else the smallest box around it; else nothing.
  hit([x, y], reach) {
    const order = [editor.selected, ...editor.boxes.keys()].filter((index, n) => editor.boxes[index] && (n === 0 || index !== editor.selected));
    for (const index of order) {
      const [x0, y0, x1, y1] = editor.boxes[index];
      if (x < x0 - reach || x > x1 + reach || y < y0 - reach || y > y1 + reach) continue;
      const near = (value, low, high, first) => {
        const inner = Math.min(reach, (high - low) / 4); // a small box still has a middle to move it by
        if (value < low + inner) return first;
        return value > high - inner ? first + 2 : "-";
      };
      const sides = [near(x, x0, x1, 0), near(y, y0, y1, 1)];
      if (sides.some((side) => side !== "-")) return { index, sides };
    }
    const area = (index) => (([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0))(editor.boxes[index]);
    const around = order.filter((index) => (([x0, y0, x1, y1]) => x >= x0 && x <= x1 && y >= y0 && y <= y1)(editor.boxes[index]));
    around.sort((a, b) => area(a) - area(b));
    return around.length ? { index: around[0], sides: null } : null;
  },

  press(event) {
    if (event.button !== 0 || editor.held) return;
    event.preventDefault();
    const start = editor.at(event);
    const hit = event.shiftKey ? null : editor.hit(start, (REACH[event.pointerType] ?? 9) / editor.scale());
    editor.svg.setPointerCapture(event.pointerId);
    editor.selected = hit ? hit.index : -1;
    editor.held = { start, hit, from: [event.clientX, event.clientY], before: editor.boxes.map((box) => [...box]) };
    editor.redraw();
  },

  move(event) {
    if (!editor.held) return editor.point(event);
    const [x, y] = editor.at(event);
    const { start, hit, from, before } = editor.held;
    const [width, height] = editor.size;
    const within = (value, limit) => Math.max(0, Math.min(Math.round(value), limit));
    if (!hit) {
      if (Math.max(Math.abs(event.clientX - from[0]), Math.abs(event.clientY - from[1])) < LEAST) return;
      editor.boxes = [...before, [within(start[0], width), within(start[1], height), within(x, width), within(y, height), true]];
      editor.selected = before.length;
    } else {
      const old = before[hit.index];
      const box = [...old];
      if (hit.sides) {
        for (const side of hit.sides) {
          if (side !== "-") box[side] = within(old[side] + [x - start[0], y - start[1]][side % 2], editor.size[side % 2]);
        }
      } else {
        const right = Math.max(-old[0], Math.min(Math.round(x - start[0]), width - old[2]));
        const down = Math.max(-old[1], Math.min(Math.round(y - start[1]), height - old[3]));
        box.splice(0, 4, old[0] + right, old[1] + down, old[2] + right, old[3] + down);
      }
      box[4] = old[4] || box.some((value, n) => n < 4 && value !== old[n]);
      editor.boxes[hit.index] = box;
    }
    editor.redraw();
  },

  release() {
    if (!editor.held) return;
    const { before } = editor.held;
    editor.held = null;
    editor.boxes = editor.boxes.map(editor.upright);
    if (editor.boxes.some(([x0, y0, x1, y1]) => x1 - x0 < 1 || y1 - y0 < 1)) editor.boxes = before; // nothing to see
    editor.selected = Math.min(editor.selected, editor.boxes.length - 1);
    editor.redraw();
    if (JSON.stringify(editor.boxes) !== JSON.stringify(before)) editor.changed(editor.boxes);
  },

  cancel() {
    if (editor.held) editor.boxes = editor.held.before;
    editor.held = null;
    editor.redraw();
  },

  remove() {
    if (editor.held || !editor.boxes.length) return;
    editor.boxes.splice(editor.selected < 0 ? editor.boxes.length - 1 : editor.selected, 1);
    editor.selected = editor.boxes.length - 1;
    editor.redraw();
    editor.changed(editor.boxes);
  },

  point(event) {
    const hit = event.shiftKey ? null : editor.hit(editor.at(event), (REACH[event.pointerType] ?? 9) / editor.scale());
    editor.svg.style.cursor = !hit ? "crosshair" : hit.sides ? `${CURSORS[hit.sides.join("")]}-resize` : "move";
  },

  zoom(event) {
    event.preventDefault();
    const [x, y, width, height] = editor.window;
    const [px, py] = editor.at(event);
    const factor = Math.min(Math.max(1.0015 ** event.deltaY, 16 / width), editor.size[0] / width);
    const size = [width * factor, height * factor];
    const place = [px - (px - x) * factor, py - (py - y) * factor];
    editor.window = [...place.map((value, n) => Math.max(0, Math.min(value, editor.size[n] - size[n]))), ...size];
    editor.redraw();
  },
};
