"use strict";
// What the report and the review share: images that are sorted, filtered and drawn as the reader scrolls.
// Text from outside is only ever set as textContent. Cards come in batches, and only those near the window hold pictures.

const BATCH = 60;
const NEAR = "1200px";
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const alphabet = new Intl.Collator(undefined, { numeric: true });

const ORDERS = {
  "lowest IoU": { known: "iou", by: (a, b) => a.iou - b.iou },
  "highest IoU": { known: "iou", by: (a, b) => b.iou - a.iou },
  "lowest score": { known: "score", by: (a, b) => a.score - b.score },
  "highest score": { known: "score", by: (a, b) => b.score - a.score },
  name: { known: "name", by: (a, b) => alphabet.compare(a.name, b.name) },
};

let images = []; // all, as given
let shown = []; // those that pass the filters, in order
let drawn = 0; // how many of them have a card
let more = null; // watches for the end of the cards
let page = {}; // what the page makes of an image: { pictures(image), facts(image), view(position) }

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

function panel([width, height], layers) {
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

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) hang(target, isIntersecting);
}, { rootMargin: NEAR });

function hang(card, visible) {
  const row = card.firstChild;
  if (!visible) row.replaceChildren();
  else if (!row.firstChild) {
    const list = page.pictures(card.image);
    row.style.setProperty("--panels", list.length);
    row.append(...list);
  }
}

function card(image, position) {
  const button = make("button", "card");
  button.type = "button";
  button.title = image.name;
  button.image = image;
  button.append(make("span", "panels"), make("span", "facts"));
  button.firstChild.style.setProperty("--panels", page.panels);
  label(button);
  button.addEventListener("click", () => page.view(position));
  near.observe(button);
  return button;
}

function label(button) {
  button.lastChild.replaceChildren(make("span", "file", button.image.name.split("/").pop()), ...page.facts(button.image));
}

function fill(least = drawn + BATCH) {
  const batch = shown.slice(drawn, least).map((image, n) => card(image, drawn + n));
  drawn += batch.length;
  $("cards").append(...batch);
}

function refresh() {
  const words = $("search").value.toLowerCase();
  const { known, by } = ORDERS[$("sort").value] ?? {};
  const [kind, outcome] = ["label", "outcome"].map((key) => $(key).value && JSON.parse($(key).value));
  shown = images.filter((image) =>
    (kind === "" || image.label === kind) && (outcome === "" || image.outcome === outcome) && image.name.toLowerCase().includes(words));
  if (by) shown.sort((a, b) => (a[known] === null) - (b[known] === null) || by(a, b) || a.index - b.index); // unknown last
  near.disconnect();
  $("cards").replaceChildren();
  drawn = 0;
  fill();
  more.unobserve($("more"));
  more.observe($("more"));
  const all = Number($("gallery").dataset.images) || images.length;
  const part = all > images.length ? `; this file holds ${images.length.toLocaleString()} of ${all.toLocaleString()}` : "";
  $("count").textContent = `${shown.length.toLocaleString()} of ${images.length.toLocaleString()} images${part}`;
}

function offer(id, values) {
  const chosen = $(id).value;
  $(id).replaceChildren(...values.map(([text, value]) => new Option(text, value)));
  if (values.some(([, value]) => value === chosen)) $(id).value = chosen;
  $(id).closest("label").hidden = values.length < 3;
}

function counted(key) {
  const counts = new Map();
  for (const image of images) counts.set(image[key], (counts.get(image[key]) ?? 0) + 1);
  const names = [...counts.keys()].sort(alphabet.compare);
  return [["all", ""], ...names.map((name) => [`${name} (${counts.get(name)})`, JSON.stringify(name)])];
}

// The arrow keys walk over the cards, as Tab does; Enter opens the one in focus.
function walk(event) {
  const cards = $("cards").children;
  const at = document.activeElement?.closest(".card") ? [...cards].indexOf(document.activeElement) : -1;
  if (document.querySelector("dialog[open]") || (at < 0 && (document.activeElement !== document.body || event.key !== "ArrowRight"))) return;
  const columns = [...cards].findIndex((other) => other.offsetTop > cards[0].offsetTop);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!step) return;
  event.preventDefault();
  cards[Math.max(0, Math.min(at + step, cards.length - 1))].focus();
}

function show(position) {
  fill(Math.max(drawn, position + 1));
  const button = $("cards").children[position];
  button?.focus();
  button?.scrollIntoView({ block: "nearest" });
}

function start(all, how) {
  [images, page] = [all, how];
  const aspects = images.filter(({ size }) => size).map(({ size: [width, height] }) => width / height).sort((a, b) => a - b);
  const middle = Math.min(1.5, Math.max(0.75, aspects[aspects.length >> 1] ?? 1));
  document.documentElement.style.setProperty("--aspect", middle);
  const orders = Object.keys(ORDERS).filter((name) => images.some((image) => (image[ORDERS[name].known] ?? null) !== null));
  offer("sort", [["as given", ""], ...orders.map((name) => [name, name])]);
  offer("label", counted("label"));
  offer("outcome", counted("outcome"));
  for (const id of ["sort", "label", "outcome"]) $(id).addEventListener("change", refresh);
  $("search").addEventListener("input", refresh);
  $("gallery").hidden = false;
  more = new IntersectionObserver((entries) => {
    if (!entries.at(-1).isIntersecting) return;
    fill();
    more.unobserve($("more")); // observed anew it reports again, also where a fast reader is at the end once more
    if (drawn < shown.length) more.observe($("more"));
  }, { rootMargin: NEAR });
  document.addEventListener("keydown", walk);
  refresh();
}
