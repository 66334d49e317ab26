// The search page: what is asked stands in the address, answers come from the server's API, `render.js` makes them
// visible. Addresses are relative, so that the page works below any path of a proxy.

import * as render from "./render.js";

const COLUMNS = ["dense", "hybrid", "bm25"]; // hybrid between the two that it joins
const DEBOUNCE_MS = 120;
const PATIENCE_MS = 30_000;
const MOST_RETRIES = 3;
const KEY = "revela.key"; // in the tab's storage
const DEFAULTS = { q: "", mode: "", collection: "", k: "10", prefix: "", open: "" };

const at = (id) => document.getElementById(id);
const [field, results, notice, reader] = [at("query"), at("results"), at("notice"), at("reader")];
const session = storage("sessionStorage");

let state = readAddress();
let collections = [];
let hits = []; // of the answer on the page, all columns together
let shown = null; // which question that answer is for; null while asking and after a failure
let drafting = false; // typing replaces the address instead of adding to the history
let timer = 0; // until the question is asked, or asked again
let retries = 0;
let asking = new AbortController();
let reading = new AbortController();

/** A storage that lasts as long as the page where the browser allows no other. */
function storage(kind) {
  try {
    return window[kind];
  } catch {
    const kept = new Map();
    return { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value),
      removeItem: (name) => kept.delete(name) };
  }
}

// ---- the server

class Failure extends Error {
  constructor(code, message, { requestId = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, requestId, retryAfter });
  }
}

async function call(path, signal, body) {
  const headers = { accept: "application/json" };
  const key = session.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) };
  try {
    const response = await fetch(path, request);
    return read(response, await response.text());
  } catch (error) {
    if (signal.aborted || error instanceof Failure) throw error;
    throw new Failure("unreachable", error.name === "TimeoutError" ? "No answer came in 30 seconds." : error.message);
  }
}

function read(response, text) {
  const requestId = response.headers.get("x-request-id");
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    if (response.ok) throw new Failure("unreadable", "The answer is no JSON.", { requestId });
  }
  if (response.ok) return answer;
  const error = answer?.error ?? {};
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  throw new Failure(response.status === 401 ? "unauthorized" : error.code ?? `${response.status}`,
    error.message ?? `The server answered with status ${response.status}.`,
    { requestId: error.request_id ?? requestId, retryAfter });
}

function question(mode) {
  const body = { query: state.q, k: Number(state.k), mode, include_text: false, collection: collectionName(),
    snippet: { length: isCode() ? 320 : 240 } };
  if (state.prefix) body.filter = { prefix: state.prefix };
  return body;
}

// ---- what is asked, and the address

const current = () => (state.collection ? collections.find(({ name }) => name === state.collection) : collections[0]);
const collectionName = () => state.collection || collections[0]?.name; // asked for even where there is no such
const offered = (mode) => current()?.modes.includes(mode) ?? true;
const isCode = () => (current()?.analyser ?? "").startsWith("code");
const sameQuestion = () => JSON.stringify([state.q.trim(), mode(), collectionName(), state.k, state.prefix]);

function mode() {
  if (Object.hasOwn(render.NAMES, state.mode)) return state.mode;
  return offered("hybrid") ? "hybrid" : current()?.modes[0] ?? "hybrid";
}

function readAddress() {
  const found = new URLSearchParams(location.search);
  const read = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, found.get(name) ?? value]));
  const k = Number(read.k);
  return { ...read, k: Number.isInteger(k) && k > 0 ? String(k) : DEFAULTS.k };
}

function address(patch = {}) {
  const next = Object.entries({ ...state, ...patch });
  const parameters = new URLSearchParams(next.filter(([name, value]) => value !== DEFAULTS[name]));
  return parameters.size ? `?${parameters}` : location.pathname;
}

const addressOf = (id) => address({ open: id });

/** Changes what is asked; "push" makes a step that the back button undoes. */
function go(patch, how = "push") {
  Object.assign(state, patch);
  const mark = how === "push" ? { opened: Boolean(patch.open) } : history.state;
  try {
    history[how === "push" ? "pushState" : "replaceState"](mark, "", address());
  } catch {
    // Browsers bound how often an address may change; the page works on without.
  }
  showControls();
}

function typed() {
  go({ q: field.value }, drafting ? "replace" : "push");
  drafting = true;
  soon();
}

function showControls() {
  if (field.value !== state.q) field.value = state.q;
  document.title = state.q.trim() ? `${state.q.trim()} · Revela` : "Revela";
  document.body.dataset.mode = mode();
  for (const radio of document.querySelectorAll("#modes input")) {
    radio.checked = radio.value === mode();
    const possible = radio.value === "compare" ? COLUMNS.filter(offered).length > 1 : offered(radio.value);
    radio.disabled = !possible && !radio.checked;
  }
  if (![...at("k").options].some(({ text }) => text === state.k)) at("k").add(new Option(state.k));
  at("k").value = state.k;
  if (at("prefix").value !== state.prefix) at("prefix").value = state.prefix;
  at("forget").hidden = !session.getItem(KEY);
  at("collection").value = current()?.name ?? "";
  render.fillCollection(current(), collections.length);
}

// ---- asking

function soon(wait = DEBOUNCE_MS) {
  clearTimeout(timer);
  retries = 0;
  timer = setTimeout(ask, wait);
}

async function ask() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  shown = null;
  if (state.q.trim() === "") return showNothingAsked();
  busy(true);
  const begun = performance.now();
  const comparing = mode() === "compare";
  const modes = comparing ? COLUMNS : [mode()];
  const rankings = await Promise.all(modes.map((one) => rank(one, comparing, signal)));
  if (signal.aborted) return;
  busy(false);
  const failed = rankings.find(({ failure }) => failure && (!comparing || failure.code !== "unsupported"));
  if (failed) return showFailure(failed.failure);
  showAnswer(rankings, comparing, performance.now() - begun);
}

/** One ranking, with the failure in its place if it fails. */
async function rank(one, comparing, signal) {
  if (comparing && !offered(one)) return { mode: one, note: "This collection cannot be ranked so." };
  try {
    const answer = await call("v1/search", signal, question(one));
    return { mode: one, used: answer.mode, hits: answer.hits, took: answer.took };
  } catch (failure) {
    if (!signal.aborted && !(failure instanceof Failure)) throw failure;
    return { mode: one, failure, note: failure.message };
  }
}

function busy(now) {
  results.setAttribute("aria-busy", String(now));
  document.body.classList.toggle("busy", now);
}

function showNothingAsked() {
  busy(false);
  hits = [];
  show(notice, []);
  results.replaceChildren();
  at("took").hidden = true;
  at("status").textContent = "";
  document.body.dataset.view = "start";
}

function showAnswer(rankings, comparing, trip) {
  retries = 0;
  shown = sameQuestion();
  hits = rankings.flatMap((ranking) => ranking.hits ?? []);
  const options = { code: isCode(), link: addressOf };
  const [first] = rankings;
  document.body.dataset.view = comparing ? "comparison" : "list";
  show(notice, []);
  at("took").hidden = comparing;
  if (comparing) {
    results.replaceChildren(render.comparison(rankings, options));
  } else {
    at("took").replaceChildren(...render.tookPanel(first.took, trip));
    results.replaceChildren(first.hits.length ? render.hitList(first.hits, first.used, options)
      : render.nothingFound({ filtered: state.prefix !== "", lexical: mode() === "bm25" && offered("dense") }));
  }
  at("status").textContent = comparing ? render.agreement(rankings) : render.summary(first);
}

// ---- when it fails

/** Shows a section with these children, or hides it; the focus is not lost with what it held. */
function show(section, children) {
  const held = section.contains(document.activeElement);
  section.replaceChildren(...children);
  section.hidden = children.length === 0;
  if (held) field.focus();
}

function showFailure(failure) {
  busy(false);
  at("status").textContent = "";
  if (failure.code === "unauthorized") return askForKey();
  show(notice, render.failurePanel(failure, begin));
  if (failure.retryAfter && retries < MOST_RETRIES) waitAndRetry(notice.querySelector("button"), Math.min(failure.retryAfter, 60));
}

function waitAndRetry(button, seconds) {
  retries += 1;
  const tick = (left) => {
    if (left === 0) return begin();
    button.textContent = `try again (by itself in ${left} s)`;
    timer = setTimeout(tick, 1000, left - 1);
  };
  clearTimeout(timer);
  tick(Math.ceil(seconds));
}

function askForKey() {
  const form = render.keyForm(session.getItem(KEY) !== null);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    session.setItem(KEY, form.elements.key.value.trim());
    begin();
  });
  if (reader.open) reader.close();
  forget();
  show(notice, [form]);
  form.elements.key.focus();
}

/** Drops the key, and what it had opened. */
function forget() {
  asking.abort();
  session.removeItem(KEY);
  collections = [];
  showNothingAsked();
  showControls();
}

// ---- one passage in its document

function syncReader() {
  if (state.open === "") return reader.open && reader.close();
  if (!reader.open) reader.showModal();
  return openPassage(state.open);
}

async function openPassage(id) {
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  at("reader-previous").disabled = at("reader-next").disabled = true; // until it is known where they lead
  const within = encodeURIComponent(collectionName() ?? "");
  const fetched = (one) => call(`v1/documents/${encodeURIComponent(one)}?collection=${within}`, signal);
  try {
    const passage = await fetched(id);
    const { previous, next } = passage.context ?? {};
    const gone = (failure) => (failure.code === "not_found" ? null : Promise.reject(failure));
    const around = await Promise.all([previous, next].map((one) => (one ? fetched(one).catch(gone) : null)));
    const options = { code: isCode(), words: render.markedWords(hits), link: addressOf };
    render.fillReader(reader, [around[0], passage, around[1]], options);
  } catch (failure) {
    if (signal.aborted) return;
    if (!(failure instanceof Failure)) throw failure;
    if (failure.code === "unauthorized") return askForKey();
    render.failReader(reader, id, render.failurePanel(failure, () => openPassage(id)));
  }
}

reader.addEventListener("close", () => {
  reading.abort();
  const id = state.open;
  if (id === "") return;
  if (history.state?.opened) history.back();
  else go({ open: "" }, "replace");
  linkTo(id)?.focus();
});

// ---- the hand

const linkTo = (id, within = "") => results.querySelector(`.hit${within}[data-id="${CSS.escape(id)}"] h3 a`);

document.addEventListener("click", (event) => {
  const modified = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  const opener = event.target.closest("[data-open]");
  if (opener && !modified) {
    event.preventDefault();
    drafting = false;
    go({ open: opener.dataset.open }, reader.open ? "replace" : "push");
    syncReader();
  }
  const jump = event.target.closest("[data-jump]");
  if (jump) linkTo(jump.dataset.id, `[data-mode="${jump.dataset.jump}"]`)?.focus();
  if (event.target === reader || event.target === at("keys")) event.target.close(); // beside the sheet
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || at("keys").open) return;
  const lead = reader.open ? { ArrowLeft: at("reader-previous"), ArrowRight: at("reader-next") }[event.key] : leadOf(event);
  if (!lead) return;
  event.preventDefault();
  if (lead.matches("button")) lead.click();
  else lead.focus();
  if (event.key === "/") field.select();
});

/** What a key leads to on the page: a link or the field to focus, a button to press, or nothing. */
function leadOf({ key, target }) {
  const item = target.closest(".hit");
  const next = item && render.beside(item, key);
  if (next) return next;
  if (item && (key === "ArrowUp" || key === "Escape")) return field;
  if (target === field && key === "ArrowDown") return results.querySelector(".hit h3 a");
  if (target.matches("input, select, textarea")) return null;
  return { "/": field, "?": at("help") }[key];
}

// ---- beginning

async function begin() {
  clearTimeout(timer);
  if (collections.length === 0) {
    try {
      ({ collections } = await call("v1/collections", new AbortController().signal));
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      return showFailure(failure);
    }
    at("collection").replaceChildren(...collections.map(({ name }) => new Option(name, name)));
  }
  showControls();
  await ask();
  if (state.open) syncReader();
}

field.addEventListener("input", (event) => event.isComposing || typed());
field.addEventListener("compositionend", typed);
field.addEventListener("blur", () => { drafting = false; });
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  drafting = false;
  soon(0);
});
at("modes").addEventListener("change", ({ target }) => { go({ mode: target.value }); soon(0); });
at("k").addEventListener("change", ({ target }) => { go({ k: target.value }); soon(0); });
at("prefix").addEventListener("input", ({ target }) => { go({ prefix: target.value }, "replace"); soon(); });
at("collection").addEventListener("change", ({ target }) => {
  go({ collection: target.value === collections[0].name ? "" : target.value, mode: "", prefix: "" });
  soon(0);
});
at("help").addEventListener("click", () => at("keys").showModal());
at("forget").addEventListener("click", () => { forget(); begin(); });
at("reader-close").addEventListener("click", () => reader.close());
window.addEventListener("online", () => notice.hidden || begin());
window.addEventListener("popstate", () => {
  state = readAddress();
  drafting = false;
  showControls();
  if (shown !== sameQuestion()) ask();
  syncReader();
});

render.themeSwitch(at("theme"), storage("localStorage"));
showControls();
showNothingAsked();
begin();
