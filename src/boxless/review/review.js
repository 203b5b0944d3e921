// The review: a gallery to choose from, and one image at a time to decide on. Every decision is sent at once, in order.

let at = -1; // which of the shown images is open
let saving = Promise.resolve(); // the end of the decisions that are under way
let unsaved = 0;
let again = { enough: 0, words: [] }; // what the server says of finding again

const dialog = $("editor");
const kind = (image) => image.outcome.split(" ")[0];
const waiting = (image) => image.outcome === "to review";

async function ask(path, content) {
  const request = content === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
  const reply = await fetch(path, request);
  const text = await reply.text();
  if (reply.ok) return JSON.parse(text);
  let reason = text;
  try { reason = JSON.parse(text).error; } catch { /* it is a sentence already */ }
  throw new Error(reason);
}

function trouble(text) {
  (dialog.open ? dialog : document.body).prepend($("trouble"));
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

// Runs one task after the other; when one fails, nothing that the page believes is trusted any more.
function queue(task) {
  unsaved += 1;
  saving = saving.then(task).then(() => trouble("")).catch(async (error) => {
    trouble(error instanceof TypeError ? "Not saved: boxless review has ended. Start it again and reload this page." : `Not saved. ${error.message}`);
    (await ask("images").catch(() => [])).forEach(absorb);
    settled();
  }).finally(() => { unsaved -= 1; });
  return saving;
}

function absorb(fresh) {
  const image = Object.assign(images[fresh.index], fresh);
  const button = [...$("cards").children].find((card) => card.image === image);
  if (button) {
    button.firstChild.replaceChildren();
    hang(button, true);
    label(button);
  }
}

// What other windows have decided; an image with a decision of this one under way waits for its answer.
async function look() {
  if (document.hidden || unsaved) return;
  const fresh = await ask(`images?since=${seen()}`).catch(() => []);
  const others = fresh.filter((one) => !images[one.index].later);
  others.forEach(absorb);
  if (!others.length) return;
  progress();
  if (dialog.open && others.some((one) => one.index === shown[at].index)) view(at);
}

const seen = () => images.reduce((latest, image) => Math.max(latest, image.turn), 0);

function settled() {
  progress();
  if (dialog.open) view(at);
}

function progress() {
  const done = images.filter((image) => !waiting(image)).length;
  Object.assign($("progress"), { max: images.length, value: done });
  $("done").textContent = `${done.toLocaleString()} of ${images.length.toLocaleString()} reviewed`;
  $("begin").textContent = done === images.length ? "All reviewed" : done ? "Go on reviewing" : "Start reviewing";
  $("begin").disabled = done === images.length;
  offer("outcome", counted("outcome"));
  offerAgain();
}

function pictures(image) {
  const svg = panel(image.size ?? [4, 3], [[`thumbnail/${image.index}`, "picture"]]);
  if (!image.size) svg.firstChild.setAttribute("preserveAspectRatio", "xMidYMid");
  for (const box of image.size ? image.boxes : []) outline(svg, [box], box[4] ? "truth" : "found");
  return [svg];
}

function facts(image) {
  const list = [make("span", `outcome ${kind(image)}`, image.outcome)];
  if (image.score !== null) list.unshift(make("span", "number", image.score.toFixed(2)));
  return list;
}

// The offer to find the rest again, how far that is, and what came of it, at the foot of whatever is open.
function offerAgain() {
  const boxed = images.filter((image) => kind(image) === "accepted" || kind(image) === "corrected").length;
  const bar = $("again"), [text, button] = bar.children, left = images.some(waiting);
  const ready = again.enough && boxed >= again.enough && left && !again.running;
  const stage = again.total ? `${again.stage}: ${again.done} of ${again.total}` : again.stage;
  text.textContent = again.running ? `Finding again. ${stage}` : again.failure || again.words.join(" ");
  button.textContent = `Use these ${boxed} boxes to do the rest better`;
  button.hidden = !ready;
  bar.hidden = !ready && !text.textContent;
  (dialog.open ? dialog : document.querySelector("header")).append(bar);
}

async function findAgain(begin) {
  try {
    again = await ask("again", begin);
    const ran = again.running;
    for (offerAgain(); again.running; offerAgain()) {
      await new Promise((wake) => setTimeout(wake, 500));
      again = await ask("again");
    }
    if (ran) queue(async () => {
      (await ask("images")).filter((fresh) => !images[fresh.index].later).forEach(absorb);
      settled();
    });
  } catch (error) {
    trouble(error.message);
  }
}

async function view(position) {
  if (position < 0 || position >= shown.length) return;
  at = position;
  const image = shown[position];
  const parts = image.name.split("/");
  dialog.querySelector("h2").textContent = parts.pop();
  dialog.querySelector(".title p").textContent = [image.label, ...image.methods.map((name) => `by ${name}`)].join(" · ");
  $("status").textContent = image.outcome;
  $("status").className = `outcome ${kind(image)}`;
  $("position").textContent = `${(position + 1).toLocaleString()} of ${shown.length.toLocaleString()}`;
  if (!dialog.open) dialog.showModal();
  offerAgain();
  try {
    image.size ??= await ask(`size/${image.index}`);
  } catch (error) {
    return trouble(error.message);
  }
  if (shown[at] !== image || editor.held) return;
  editor.show(`view/${image.index}`, image.size, image.boxes);
  const next = shown[position + 1];
  if (next) new Image().src = `view/${next.index}`; // so that it is there when it is wanted
}

function decide(accepted, boxes) {
  const image = shown[at];
  const outcome = accepted ? "accepted" : "rejected";
  const later = (image.later ?? 0) + 1; // decisions on this image that are not answered yet; only the last answer counts
  Object.assign(image, { boxes: boxes.map((box) => [...box]), outcome, later }); // the server says which more exactly
  const places = image.boxes.map((box) => box.slice(0, 4));
  queue(async () => {
    const fresh = await ask("decide", { index: image.index, accepted, boxes: places, turn: image.turn }).finally(() => { image.later -= 1; });
    if (image.later) image.turn = fresh.turn;
    else absorb(fresh);
    settled();
  });
}

function settle(accepted) {
  const image = shown[at];
  if (accepted ? waiting(image) || image.outcome === "rejected" : image.outcome !== "rejected") decide(accepted, image.boxes);
  const rest = [...shown.keys()].map((n) => (at + 1 + n) % shown.length);
  const next = rest.find((position) => waiting(shown[position]));
  if (next === undefined) dialog.close();
  else view(next);
}

function undo() {
  queue(async () => {
    const image = await ask("undo", { turn: seen() });
    if (!image) return;
    absorb(image);
    const position = shown.indexOf(images[image.index]);
    if (dialog.open && position >= 0) at = position;
    settled();
  });
}

function begin() {
  const first = shown.findIndex(waiting);
  if (first >= 0) return view(first);
  for (const id of ["label", "outcome", "search"]) $(id).value = "";
  refresh();
  view(Math.max(0, shown.findIndex(waiting)));
}

async function write() {
  await saving;
  $("exported").textContent = "Writing …";
  try {
    $("exported").textContent = `Written to ${(await ask("export", { format: $("format").value })).out}.`;
  } catch (error) {
    $("exported").textContent = error.message;
  }
}

const ACTS = {
  previous: () => view(at - 1), next: () => view(at + 1), accept: () => settle(true), reject: () => settle(false),
  remove: () => editor.remove(), undo, close: () => dialog.close(),
};
const KEYS = {
  ArrowLeft: "previous", p: "previous", ArrowRight: "next", n: "next", a: "accept", r: "reject",
  Delete: "remove", Backspace: "remove", z: "undo",
};

function listen() {
  dialog.addEventListener("click", ({ target }) => ACTS[target.closest("button")?.dataset.do]?.());
  dialog.addEventListener("close", () => (trouble(""), offerAgain(), show(at)));
  $("begin").addEventListener("click", begin);
  $("undo").addEventListener("click", undo);
  $("export").addEventListener("click", write);
  $("again").querySelector("button").addEventListener("click", () => saving.then(() => findAgain({})));
  document.addEventListener("keydown", (event) => {
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const typing = document.activeElement.matches("input, select");
    if (!act || typing || event.altKey || ((event.ctrlKey || event.metaKey) && act !== "undo")) return;
    if (!dialog.open && act !== "undo") return;
    event.preventDefault();
    if (!event.repeat || act === "previous" || act === "next") ACTS[act]();
  });
  addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
}

ask("images").then((all) => {
  editor.begin($("stage"), (boxes) => decide(true, boxes));
  listen();
  start(all, { panels: 1, pictures, facts, view });
  progress();
  findAgain();
  setInterval(look, 2000);
}).catch((error) => trouble(error.message));
