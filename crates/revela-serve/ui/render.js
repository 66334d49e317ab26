// Builds the page's parts from the server's answers. What the server sends becomes text nodes and attribute values
// that cannot run (data-*, a query string made by URLSearchParams), never markup.

export const NAMES = { dense: "dense", hybrid: "hybrid", bm25: "BM25", compare: "compare" };

const NUMBER = new Intl.NumberFormat("en");
const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (null and false leave one out, true sets it empty) and children; strings become text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** The text's nodes with `[start, end)` ranges of code points marked; ranges outside the text or running backwards
 * are dropped. */
export function marked(text, marks) {
  const points = Array.from(text);
  const slice = (start, end) => points.slice(start, end).join("");
  const nodes = [];
  let at = 0;
  for (const [start, end] of Array.isArray(marks) ? marks : []) {
    const from = Math.max(at, start);
    const to = Math.min(end, points.length);
    if (!(from < to)) continue;
    nodes.push(slice(at, from), h("mark", {}, slice(from, to)));
    at = to;
  }
  return [...nodes, slice(at)];
}

/** The words that were marked in the snippets, in lower case. */
export function markedWords(hits) {
  const words = new Set();
  for (const { snippet } of hits) {
    if (!snippet || !Array.isArray(snippet.marks)) continue;
    const points = Array.from(snippet.text);
    for (const [start, end] of snippet.marks) words.add(points.slice(start, end).join("").toLowerCase());
  }
  words.delete("");
  return words;
}

/** The whole text with every occurrence of the words marked, where they stand as words. */
export function markedByWords(text, words) {
  if (words.size === 0) return [text];
  const longestFirst = [...words].sort((a, b) => b.length - a.length);
  const either = longestFirst.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  const found = text.matchAll(new RegExp(`(?<![\\p{L}\\p{N}])(?:${either})(?![\\p{L}\\p{N}])`, "giu"));
  const nodes = [];
  let at = 0;
  for (const match of found) {
    nodes.push(text.slice(at, match.index), h("mark", {}, match[0]));
    at = match.index + match[0].length;
  }
  return [...nodes, text.slice(at)];
}

/** Digits after the point that tell the scores of one ranking apart: BM25's are large, fused ones tiny. */
function digits(top) {
  if (top >= 10) return 2;
  return top >= 0.1 ? 3 : 4;
}

/** A rank, a score, and a line as long as the score's share of the best one. */
function standing(hit, top) {
  const bar = h("span", { class: "bar", "aria-hidden": true }, h("i"));
  bar.firstChild.style.width = `${top > 0 ? Math.max(0, Math.min(1, hit.score / top)) * 100 : 0}%`;
  return h("p", { class: "standing" },
    h("span", { class: "numeral" }, h("span", { class: "unseen" }, "Rank "), String(hit.rank)),
    h("span", { class: "score" }, h("span", { class: "unseen" }, "score "), hit.score.toFixed(digits(top))),
    bar);
}

/** What of the passage stands in the list: the snippet, else the beginning of the text. */
function extract(hit, code) {
  const snippet = hit.snippet?.text ? hit.snippet : { text: (hit.text ?? "").slice(0, 300), marks: [] };
  if (snippet.text.trim() === "") return h("p", { class: "extract quiet" }, "No text is kept for this passage.");
  return h("p", { class: code ? "extract code" : "extract", dir: code ? "ltr" : "auto" }, marked(snippet.text, snippet.marks));
}

/** Where the passage stands in the other rankings: `[mode, rank or null]`. */
function elsewhere(hit, others) {
  if (others.length === 0) return null;
  return h("p", { class: "elsewhere" }, others.map(([mode, rank]) => rank === null
    ? h("span", { class: "chip absent", "data-mode": mode }, NAMES[mode], " –",
      h("span", { class: "unseen" }, " not among these"))
    : h("button", { type: "button", class: "chip", "data-mode": mode, "data-jump": mode, "data-id": hit.id },
      h("span", { class: "unseen" }, "Same passage in "), NAMES[mode], ` ${rank}`)));
}

function hitItem(hit, { mode, top, code, link, others }) {
  const titled = hit.title && !hit.id.startsWith(hit.title); // a path that the id repeats is no title
  return h("li", { class: "hit", "data-id": hit.id, "data-mode": mode },
    standing(hit, top),
    h("div", { class: "body" },
      h("h3", {}, h("a", { href: link(hit.id), "data-open": hit.id, dir: "auto", class: titled ? null : "machine" },
        titled ? hit.title : hit.id)),
      titled ? h("p", { class: "id" }, h("bdi", {}, hit.id)) : null,
      extract(hit, code),
      elsewhere(hit, others(hit.id))));
}

/** One ranking as a list. `link(id)` gives the address that opens a hit, `others(id)` its ranks elsewhere. */
export function hitList(hits, mode, { code, link, others = () => [] }) {
  const top = Math.max(...hits.map((hit) => hit.score));
  return h("ol", { class: "hits", role: "list", "data-mode": mode },
    hits.map((hit) => hitItem(hit, { mode, top, code, link, others })));
}

/** Rankings side by side; each is `{ mode, hits, took }` or `{ mode, note }`. */
export function comparison(rankings, options) {
  const rank = (ranking, id) => ranking.hits.find((hit) => hit.id === id)?.rank ?? null;
  const columns = rankings.map((ranking) => {
    const rest = rankings.filter((other) => other !== ranking && other.hits);
    const others = (id) => rest.map((other) => [other.mode, rank(other, id)]);
    let inside = h("p", { class: "plain quiet" }, ranking.note ?? "Nothing found.");
    if (ranking.hits?.length) inside = hitList(ranking.hits, ranking.mode, { ...options, others });
    return h("section", { class: "column", "data-mode": ranking.mode, "aria-label": NAMES[ranking.mode] },
      h("header", {}, h("h2", {}, NAMES[ranking.mode]), ranking.took ? tookLine(ranking.took) : null), inside);
  });
  const links = document.createElementNS(SVG, "svg");
  links.setAttribute("class", "links");
  links.setAttribute("aria-hidden", "true");
  const grid = h("div", { class: "comparison" }, columns, links);
  const pick = ({ target }) => bringForward(grid, target.closest(".hit")?.dataset.id ?? null);
  for (const name of ["pointerover", "focusin"]) grid.addEventListener(name, pick);
  for (const name of ["pointerleave", "focusout"]) grid.addEventListener(name, () => bringForward(grid, null));
  new ResizeObserver(() => drawLinks(grid)).observe(grid);
  return grid;
}

/** Draws a line between the places of each passage in neighbouring columns; none where the columns are stacked. */
function drawLinks(grid) {
  const svg = grid.querySelector("svg.links");
  svg.replaceChildren();
  if (getComputedStyle(svg).display === "none") return;
  const origin = grid.getBoundingClientRect();
  const columns = [...grid.querySelectorAll(".column")];
  for (const [index, column] of columns.slice(1).entries()) {
    const right = new Map([...column.querySelectorAll(".hit")].map((item) => [item.dataset.id, item]));
    for (const item of columns[index].querySelectorAll(".hit")) {
      const twin = right.get(item.dataset.id);
      if (twin) svg.append(connection(item, twin, origin));
    }
  }
}

/** A curve from the rule above one hit to the rule above its twin. */
function connection(item, twin, origin) {
  const [from, to] = [item.getBoundingClientRect(), twin.getBoundingClientRect()];
  const [x1, x2] = [from.right - origin.left, to.left - origin.left];
  const [y1, y2] = [from.top - origin.top + 0.5, to.top - origin.top + 0.5];
  const bend = (x2 - x1) * 0.55;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
  path.dataset.id = item.dataset.id;
  return path;
}

/** Brings one passage forward in all columns; null brings none forward. */
function bringForward(grid, id) {
  grid.classList.toggle("picked", id !== null);
  for (const part of grid.querySelectorAll(".hit, path")) part.classList.toggle("same", part.dataset.id === id);
}

const milliseconds = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));

function tookLine({ embed_ms: embed, search_ms: search, total_ms: total }) {
  const stages = [embed >= 0.01 ? `embed ${milliseconds(embed)}` : null, `search ${milliseconds(search)}`];
  return h("p", { class: "machine quiet" },
    `${stages.filter(Boolean).join(" + ")}, total ${milliseconds(total)} ms`);
}

/** Milliseconds in each stage as a bar and a list; `trip` is what this page waited in all. */
export function tookPanel(took, trip) {
  const rest = Math.max(0, took.total_ms - took.embed_ms - took.search_ms);
  const stages = [["embed", took.embed_ms], ["search", took.search_ms], ["rest", rest]];
  const bar = h("p", { class: "stages", "aria-hidden": true });
  for (const [name, value] of stages) {
    bar.append(h("i", { class: name }));
    bar.lastChild.style.width = `${(value / (took.total_ms || 1)) * 100}%`;
  }
  const row = (name, value) => h("div", { class: name }, h("dt", {}, name), h("dd", {}, `${milliseconds(value)} ms`));
  return [h("h2", {}, "Time"), bar, h("dl", {}, stages.map(([name, value]) => row(name, value)),
    row("total", took.total_ms), row("round trip", trip))];
}

/** Bytes in the unit that leaves one to four digits. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power]}`;
}

/** Shows a collection's name and facts, or nothing; a name that can be chosen stands in the picker instead. */
export function fillCollection(facts, choices) {
  const at = (id) => document.getElementById(id);
  at("collection-label").hidden = choices < 2 && !facts;
  at("collection").hidden = choices < 2;
  at("collection-name").textContent = choices < 2 ? facts?.name ?? "" : "";
  at("gist").textContent = facts ? `${NUMBER.format(facts.passages)} passages` : "";
  at("facts").replaceChildren(...(facts ? factsPanel(facts) : []));
  at("facts").hidden = !facts;
}

function factsPanel(facts) {
  const space = facts.dimension === null ? "none" : `${NUMBER.format(facts.dimension)} dimensions, ${facts.metric}`;
  const rows = [
    ["passages", NUMBER.format(facts.passages)],
    facts.deleted > 0 ? ["deleted", NUMBER.format(facts.deleted)] : null,
    ["vectors", space],
    ["encoder", facts.encoder ?? "none"],
    ["words", facts.analyser === null ? "not indexed" : `read as ${facts.analyser}`],
    ["texts", facts.texts ? "kept" : "not kept"],
    ["rank by", facts.modes.map((mode) => NAMES[mode] ?? mode).join(", ")],
    ["on disk", `${bytes(facts.bytes)}, ${NUMBER.format(facts.shards)} ${facts.shards === 1 ? "shard" : "shards"}`],
    ["writable", facts.writable ? "yes" : "no"],
  ];
  return [h("h2", {}, "Collection"), h("dl", {}, rows.filter(Boolean).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, h("bdi", {}, value)))))];
}

/** Shows a passage between its neighbours, null where it has none. */
export function fillReader(reader, [before, passage, after], options) {
  const at = (name) => reader.querySelector(`#reader-${name}`);
  const { document: place } = passage.context ?? {};
  at("title").textContent = passage.title || passage.id;
  at("title").classList.toggle("machine", !passage.title || passage.title === place);
  at("place").textContent = place && place !== passage.title ? `in ${place}` : "";
  const shown = [before, passage, after].filter(Boolean);
  at("body").replaceChildren(...shown.map((one) => passagePart(one, one === passage, options)));
  for (const [button, neighbour] of [[at("previous"), before], [at("next"), after]]) {
    button.dataset.open = neighbour?.id ?? "";
    button.disabled = !neighbour;
  }
  at("body").querySelector(".opened").scrollIntoView({ block: "start" });
  at("body").focus({ preventScroll: true });
}

function passagePart(passage, opened, { code, words, link }) {
  const position = passage.context?.position;
  const label = h("bdi", {}, Number.isInteger(position) ? `#${position}` : passage.id);
  const kept = passage.text.trim() === "" ? "No text is kept for this passage." : passage.text;
  const text = code ? kept : flowing(kept);
  return h("article", { class: opened ? "passage opened" : "passage", "aria-current": opened ? "true" : null },
    h("p", { class: "place machine" }, opened ? label : h("a", { href: link(passage.id), "data-open": passage.id }, label)),
    h("div", { class: code ? "text code" : "text", dir: code ? "ltr" : "auto" }, markedByWords(text, words)));
}

/** Prose whose lines were broken at a width flows again; lists, tables and short lines stay as they are. */
function flowing(text) {
  return text.replace(/(?<=[^\n]{45})\n(?=[\p{L}\p{N}("'“‘`])(?!\d+[.)])/gu, " ");
}

/** Shows in the reader why a passage could not be had. */
export function failReader(reader, id, panel) {
  const at = (name) => reader.querySelector(`#reader-${name}`);
  at("title").textContent = id;
  at("place").textContent = "";
  at("body").replaceChildren(...panel);
  at("previous").disabled = at("next").disabled = true;
}

const HEADINGS = {
  unreachable: "The server does not answer",
  unreadable: "The answer cannot be read",
  overloaded: "The server is busy",
  rate_limited: "Too many questions from here",
  unavailable: "The server is not ready yet",
  internal: "Something failed in the server",
  timeout: "The answer took too long",
  unsupported: "This collection cannot be ranked so",
  not_found: "Not found",
};

/** What failed, what to do, the request's id where there is one, and a button that tries again. */
export function failurePanel({ code, message, requestId }, retry) {
  const text = code === "unreachable" ? `Check that it runs and that this device is connected. (${message})` : message;
  const again = h("button", { type: "button" }, "try again");
  again.addEventListener("click", retry);
  return [
    h("div", { role: "alert" }, h("h2", {}, HEADINGS[code] ?? "The server refused this"), h("p", {}, text),
      requestId ? h("p", { class: "machine quiet" }, "request ", h("bdi", {}, requestId)) : null),
    h("p", { class: "tools" }, again),
  ];
}

/** What stands in place of hits where there are none. */
export function nothingFound({ filtered, lexical }) {
  return h("div", { class: "plain" }, h("h2", {}, "Nothing found"), h("p", {},
    filtered ? "No passage whose id begins so fits the question." : "No passage fits the question.",
    lexical ? " BM25 needs a word in common; dense looks for the meaning." : ""));
}

/** One ranking in a line. */
export function summary({ used, hits, took }) {
  const count = `${hits.length} ${hits.length === 1 ? "passage" : "passages"}`;
  return `${count} by ${NAMES[used] ?? used} in ${milliseconds(took.total_ms)} ms`;
}

/** How far rankings agree, in a line. */
export function agreement(rankings) {
  const ids = Object.fromEntries(rankings.map(({ mode, hits }) => [mode, new Set((hits ?? []).map(({ id }) => id))]));
  const distinct = new Set(Object.values(ids).flatMap((set) => [...set])).size;
  const found = `${distinct} different passages`;
  if (rankings.some(({ hits }) => !hits)) return found;
  return `${found}; dense and BM25 share ${[...ids.dense].filter((id) => ids.bm25.has(id)).length}`;
}

/** The link to which an arrow key leads from a hit: along its column, or to the same passage in the neighbouring
 * column, else to the same place there. Null where there is none. */
export function beside(item, key) {
  if (key === "ArrowDown") return item.nextElementSibling?.querySelector("h3 a");
  if (key === "ArrowUp") return item.previousElementSibling?.querySelector("h3 a");
  const column = item.closest(".column");
  const next = { ArrowRight: column?.nextElementSibling, ArrowLeft: column?.previousElementSibling }[key];
  const items = [...(next?.querySelectorAll(".hit") ?? [])];
  const place = [...item.parentElement.children].indexOf(item);
  const twin = items.find(({ dataset }) => dataset.id === item.dataset.id) ?? items[Math.min(place, items.length - 1)];
  return twin?.querySelector("h3 a");
}

/** The form that asks for a key. */
export function keyForm(refused) {
  return h("form", { id: "key-form" },
    h("h2", {}, "This server asks for a key"),
    h("p", { role: "alert" }, refused ? "The key was refused. Check it, or ask whoever runs the server."
      : "It is kept in this tab only, until the tab is closed."),
    h("label", { for: "key" }, "Key"),
    h("input", { id: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false" }),
    h("button", {}, "use key"));
}

/** Makes a button go round the themes; the choice is kept, "auto" follows the device. */
export function themeSwitch(button, storage) {
  const next = { auto: "dark", dark: "light", light: "auto" };
  const choose = (name) => {
    document.documentElement.dataset.theme = name;
    button.textContent = `theme: ${name}`;
    storage.setItem("revela.theme", name);
  };
  const kept = storage.getItem("revela.theme") ?? "";
  choose(Object.hasOwn(next, kept) ? kept : "auto");
  button.addEventListener("click", () => choose(next[document.documentElement.dataset.theme]));
}
