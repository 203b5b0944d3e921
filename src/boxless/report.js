"use strict";
// The gallery. Each card is a text element of three lines: what is known as JSON, the picture and the heat map in base64.
// Text from outside is only ever set as textContent. Cards enter the page in batches, as the reader scrolls.

const BATCH = 60;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

const images = [...document.querySelectorAll("script.image")].map((element, index) => {
  const text = element.textContent;
  return { ...JSON.parse(text.slice(0, text.indexOf("\n", 1))), element, index };
});

const ORDERS = {
  "lowest IoU": { known: "iou", by: (a, b) => a.iou - b.iou },
  "highest IoU": { known: "iou", by: (a, b) => b.iou - a.iou },
  "lowest score": { known: "score", by: (a, b) => a.score - b.score },
  "highest score": { known: "score", by: (a, b) => b.score - a.score },
  name: { known: "name", by: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) },
};

let shown = []; // the images that pass the filters, in order
let drawn = 0; // how many of them have a card
let open = -1; // which of them is in the viewer

function make(tag, classes, text) {
  const element = document.createElement(tag);
  element.className = classes ?? "";
  element.textContent = text ?? "";
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function panel(image, layers) {
  const [width, height] = image.size;
  const svg = draw("svg", { class: "panel", viewBox: `0 0 ${width} ${height}` });
  for (const [source, kind] of layers) {
    svg.append(draw("image", { href: source, width, height, preserveAspectRatio: "none", class: kind }));
  }
  return svg;
}

function outline(svg, boxes, kind) {
  for (const [x, y, right, bottom] of boxes) {
    const place = { x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y) };
    svg.append(draw("rect", { ...place, class: "case" }), draw("rect", { ...place, class: kind }));
  }
}

function panels(image) {
  const [, , picture, heat] = image.element.textContent.split("\n").map((line, n) => (n > 1 ? `data:image/jpeg;base64,${line}` : line));
  const list = [panel(image, [[picture, "picture"]])];
  if (!heat.endsWith(",-")) list.push(panel(image, [[heat, "heat"]]), panel(image, [[picture, "picture"], [heat, "over"]]));
  for (const svg of [list[0], list[2]]) {
    if (!svg) continue;
    outline(svg, image.truth, "truth");
    outline(svg, image.found, "found");
  }
  return list;
}

function card(image, position) {
  const button = make("button", "card");
  button.type = "button";
  button.title = image.name;
  const row = make("span", "panels");
  const list = panels(image);
  row.style.setProperty("--panels", list.length);
  row.append(...list);
  const facts = make("span", "facts");
  facts.append(make("span", "file", image.name.split("/").pop()));
  if (image.score !== null) facts.append(make("span", "number", `score ${image.score.toFixed(2)}`));
  if (image.iou !== null) facts.append(make("span", "number", `IoU ${image.iou.toFixed(2)}`));
  const kind = { hit: "hit", found: "", "nothing found": "nothing" }[image.outcome] ?? "miss";
  facts.append(make("span", `outcome ${kind}`, image.outcome));
  button.append(row, facts);
  button.addEventListener("click", () => view(position));
  return button;
}

function fill() {
  const batch = shown.slice(drawn, drawn + BATCH).map((image, n) => card(image, drawn + n));
  drawn += batch.length;
  $("cards").append(...batch);
}

function refresh() {
  const words = $("search").value.toLowerCase();
  const { known, by } = ORDERS[$("sort").value] ?? {};
  const chosen = (key) => $(key).value === "" ? () => true : (image) => image[key] === JSON.parse($(key).value);
  const [label, outcome] = [chosen("label"), chosen("outcome")];
  shown = images.filter((image) => label(image) && outcome(image) && image.name.toLowerCase().includes(words));
  if (by) shown.sort((a, b) => (a[known] === null) - (b[known] === null) || by(a, b) || a.index - b.index); // unknown last
  $("cards").replaceChildren();
  drawn = 0;
  fill();
  const all = Number($("gallery").dataset.images) || images.length;
  const part = all > images.length ? `; this file holds ${images.length.toLocaleString()} of ${all.toLocaleString()}` : "";
  $("count").textContent = `${shown.length.toLocaleString()} of ${images.length.toLocaleString()} images${part}`;
}

function offer(id, values) {
  $(id).append(...values.map(([text, value]) => new Option(text, value)));
  $(id).closest("label").hidden = values.length < 3;
  $(id).addEventListener("change", refresh);
}

function counted(key) {
  const counts = new Map();
  for (const image of images) counts.set(image[key], (counts.get(image[key]) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return [["all", ""], ...names.map((name) => [`${name} (${counts.get(name)})`, JSON.stringify(name)])];
}

function view(position) {
  if (position < 0 || position >= shown.length) return;
  open = position;
  const image = shown[position];
  const [dialog, parts] = [$("viewer"), image.name.split("/")];
  dialog.querySelector("h2").textContent = parts.pop();
  dialog.querySelector(".title p").textContent = parts.join("/");
  dialog.querySelector("nav span").textContent = `${position + 1} of ${shown.length}`;
  const list = panels(image);
  const row = dialog.querySelector(".panels");
  row.style.setProperty("--panels", list.length);
  row.style.setProperty("--own-aspect", `${image.size[0]} / ${image.size[1]}`);
  row.replaceChildren(...list);
  dialog.querySelector("dl").replaceChildren(...facts(image).flatMap(([term, text]) => {
    const entry = make("div");
    entry.append(make("dt", "", term), make("dd", "", text));
    return [entry];
  }));
  while (drawn <= open) fill();
  if (!dialog.open) dialog.showModal();
}

function facts(image) {
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

function start() {
  if (!images.length) return;
  const aspects = images.map(({ size: [width, height] }) => width / height).sort((a, b) => a - b);
  const middle = Math.min(1.5, Math.max(0.75, aspects[aspects.length >> 1]));
  document.documentElement.style.setProperty("--aspect", middle);
  const orders = Object.keys(ORDERS).filter((name) => images.some((image) => image[ORDERS[name].known] !== null));
  offer("sort", [["as given", ""], ...orders.map((name) => [name, name])]);
  offer("label", counted("label"));
  offer("outcome", counted("outcome"));
  $("search").addEventListener("input", refresh);
  document.querySelector(".legend .truth").hidden = !images.some((image) => image.truth.length);
  $("gallery").hidden = false;
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && fill(), { rootMargin: "1500px" }).observe($("more"));
  const dialog = $("viewer");
  dialog.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (target === dialog || button?.dataset.close !== undefined) dialog.close();
    else if (button) view(open + Number(button.dataset.step));
  });
  dialog.addEventListener("close", () => $("cards").children[open]?.focus());
  dialog.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) view(open + step);
  });
  refresh();
}

start();
