// The report's gallery. Each image is a text element of three lines: what is known as JSON, the picture and the heat map in base64.

let open = -1; // which of the shown images is in the viewer

function read(element, index) {
  const text = element.textContent;
  return { ...JSON.parse(text.slice(0, text.indexOf("\n", 1))), element, index };
}

function pictures(image) {
  const [, , picture, heat] = image.element.textContent.split("\n").map((line, n) => (n > 1 ? `data:image/webp;base64,${line}` : line));
  const list = [panel(image.size, [[picture, "picture"]])];
  if (!heat.endsWith(",-")) list.push(panel(image.size, [[heat, "heat"]]), panel(image.size, [[picture, "picture"], [heat, "over"]]));
  for (const svg of [list[0], list[2]]) {
    if (!svg) continue;
    outline(svg, image.truth, "truth");
    outline(svg, image.found, "found");
  }
  return list;
}

function facts(image) {
  const kind = { hit: "hit", found: "", "nothing found": "nothing" }[image.outcome] ?? "miss";
  const list = [make("span", `outcome ${kind}`, image.outcome)];
  if (image.iou !== null) list.unshift(make("span", "number", `IoU ${image.iou.toFixed(2)}`));
  if (image.score !== null) list.unshift(make("span", "number", `score ${image.score.toFixed(2)}`));
  return list;
}

function view(position) {
  if (position < 0 || position >= shown.length) return;
  open = position;
  const image = shown[position];
  const [dialog, parts] = [$("viewer"), image.name.split("/")];
  dialog.querySelector("h2").textContent = parts.pop();
  dialog.querySelector(".title p").textContent = parts.join("/");
  dialog.querySelector("nav span").textContent = `${position + 1} of ${shown.length}`;
  const list = pictures(image);
  const row = dialog.querySelector(".panels");
  row.style.setProperty("--panels", list.length);
  row.style.setProperty("--own-aspect", `${image.size[0]} / ${image.size[1]}`);
  row.replaceChildren(...list);
  dialog.querySelector("dl").replaceChildren(...details(image).map(([term, text]) => {
    const entry = make("div");
    entry.append(make("dt", "", term), make("dd", "", text));
    return entry;
  }));
  if (!dialog.open) dialog.showModal();
}

function details(image) {
  const boxes = (list) => list.map((box) => box.join(" ")).join("; ");
  return [
    ["class", image.label],
    ["outcome", image.outcome],
    ["score", image.score?.toFixed(3)],
    ["IoU", image.iou?.toFixed(3)],
    ["found, x0 y0 x1 y1", boxes(image.found)],
    ["true, x0 y0 x1 y1", boxes(image.truth)],
    ["picture", `${image.size[0]} × ${image.size[1]} pixels`],
    ["note", image.note],
  ].filter(([, text]) => text);
}

function listen(dialog) {
  dialog.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (target === dialog || button?.dataset.close !== undefined) dialog.close();
    else if (button) view(open + Number(button.dataset.step));
  });
  dialog.addEventListener("close", () => show(open));
  dialog.addEventListener("keydown", (event) => {
    const position = { ArrowLeft: open - 1, ArrowRight: open + 1, Home: 0, End: shown.length - 1 }[event.key];
    if (position === undefined) return;
    event.preventDefault();
    view(position);
  });
}

const all = [...document.querySelectorAll("script.image")].map(read);
if (all.length) {
  document.querySelector(".legend .truth").hidden = !all.some((image) => image.truth.length);
  listen($("viewer"));
  const panels = all[0].element.textContent.trimEnd().endsWith("\n-") ? 1 : 3;
  start(all, { panels, pictures, facts, view });
}
