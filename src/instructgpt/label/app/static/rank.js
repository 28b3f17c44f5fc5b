// The page of an item. What is said is in `Work`; cards, board and order line show it and change it; `Saver` keeps it.

import { Board } from "./board.js";
import { Cards } from "./cards.js";
import { Clock, clockFace } from "./clock.js";
import { readOrder, writeOrder } from "./order.js";
import { Saver } from "./saving.js";
import { ask, deliver, login } from "./sending.js";
import { Work } from "./work.js";

const form = document.getElementById("item");
if (form) start();

function start() {
  const find = (id) => document.getElementById(id);
  const { number, person, shown, asked } = form.dataset;
  const singleKeys = "keys" in form.dataset;
  const cardsInPage = [...form.querySelectorAll(".card")];
  const letters = cardsInPage.map((card) => card.dataset.letter);
  const order = form.elements.order;
  const work = new Work(letters, asked, said(letters, order.value, JSON.parse(form.dataset.ranks)));
  const excerpts = Object.fromEntries(cardsInPage.map(({ dataset }) => [dataset.letter, dataset.excerpt]));
  const announce = announcer(find("announce"));
  let saver = null;
  const clock = new Clock(Number(form.elements.seconds.value), (seconds, paused) => {
    form.querySelector("[data-clock]").textContent = clockFace(seconds);
    find("clock").classList.toggle("paused", paused);
    if (!paused) saver?.beat();
  });
  saver = new Saver({
    number, person, shown, tell: teller(find("state"), announce, () => login().then((isIn) => isIn && saver.again())),
    revision: Number(form.elements.revision.value),
    draft: () => ({ ...work.said, seconds: clock.seconds }),
    ask: () => ask("other"),
  });
  document.documentElement.classList.add("scripted");
  const board = new Board(find("rows"), work, excerpts, announce);
  const cards = new Cards(form, work, () => { board.enter(); reveal(find("board")); });

  const submit = submitter({ work, clock, saver, cards, board, number, announce });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  work.listen((words) => {
    if (document.activeElement !== order || words.includes(":")) order.value = work.said.order;
    find("undo").disabled = !work.before.length;
    find("redo").disabled = !work.after.length;
    lineError(work.said.order, letters.length);
    if (words.startsWith("Undone") || words.startsWith("Done again")) announce(words);
    if (!find("problems").hidden) tellProblems(work.missing(), cards, board); // fewer, as they are mended
    if (words) saver.changed();
  });
  find("undo").addEventListener("click", () => work.undo());
  find("redo").addEventListener("click", () => work.redo());
  find("keys").addEventListener("click", () => find("help").showModal());
  orderLine(order, work, () => find("submit").focus());
  skipping(saver, number);
  keys({ work, cards, board, submit, singleKeys, order });
  stayInSight();
  for (const close of document.querySelectorAll("#help [data-close]")) close.onclick = () => find("help").close();
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  for (const link of document.querySelectorAll("#problems a")) follow(link, cards, board);

  const kept = saver.recover();
  if (kept) {
    const blank = { likert: null, flags: [], note: "" };
    const ratings = Object.fromEntries(letters.map((letter) => [letter, { ...blank, ...kept.ratings?.[letter] }]));
    work.replace({ ratings, ranks: kept.ranks ?? {}, order: kept.order ?? "" });
    clock.counted = Math.max(clock.counted, 1000 * (kept.seconds ?? 0));
    saver.changed();
  }
}

/** What the form says; the board's rows where they fit the order line. */
function said(letters, line, rows) {
  let ranks = {};
  try {
    ranks = readOrder(line, letters.length);
    if (Object.keys(rows).length && writeOrder(rows) === writeOrder(ranks)) ranks = rows;
  } catch {
    ranks = rows;
  }
  return { ratings: Cards.read(form, letters), ranks, order: line };
}

function submitter({ work, clock, saver, cards, board, number, announce }) {
  let busy = false;
  const tell = teller(document.getElementById("state"), () => {}, null);
  const freeze = (on) => {
    busy = on;
    for (const part of ["answers", "board"]) document.getElementById(part).inert = on;
    for (const button of form.querySelectorAll("button.main")) button.disabled = on;
  };
  return async () => {
    if (busy) return;
    const problems = work.missing();
    announce(problems.map(({ sentence }) => sentence).join(" "));
    showProblems(problems, cards, board);
    if (problems.length) return;
    form.elements.seconds.value = clock.seconds;
    freeze(true);
    tell("saving", "Submitting …");
    const { status, body } = await deliver(`/item/${number}`, new FormData(form), tell);
    if (status < 300 && body.next) {
      saver.finish();
      location.assign(body.next);
      return;
    }
    freeze(false);
    tell("", "");
    if (status === 409 && body.warning) {
      form.elements.sure.value = "1"; // it is asked once
      if (await ask("warning", body.warning)) form.requestSubmit();
    } else if (body.problems) showProblems(body.problems, cards, board);
    else if (status === 401) tell("out", "Logged out: kept in this browser");
    else tell("refused", `Not submitted: ${body.error ?? `the server says ${status}`}`);
  };
}

/** Says what is missing and goes there. */
function showProblems(problems, cards, board) {
  tellProblems(problems, cards, board);
  if (problems.length) document.querySelector("#problems a").click();
}

function tellProblems(problems, cards, board) {
  const box = document.getElementById("problems");
  box.hidden = !problems.length;
  box.querySelector("ul").replaceChildren(...problems.map(({ field, sentence }) => {
    const link = document.createElement("a");
    link.href = `#${field.replace(".", "-")}`;
    link.textContent = sentence;
    follow(link, cards, board);
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  for (const part of form.querySelectorAll(".likert")) {
    part.classList.toggle("wanted", problems.some(({ field }) => field.replace(".", "-") === part.id));
  }
}

/** A link to what is missing shows it and gives it the focus. */
function follow(link, cards, board) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const field = link.hash.slice(1).replace("-", ".");
    if (field.startsWith("likert.")) cards.show(field);
    else if (document.getElementById("order-error").textContent) form.elements.order.focus();
    else {
      board.enter();
      reveal(document.getElementById("board"));
    }
  });
}

function lineError(line, count) {
  let error = "";
  try {
    readOrder(line, count);
  } catch (problem) {
    error = problem.message;
  }
  document.getElementById("order-error").textContent = error;
  if (error) form.elements.order.setAttribute("aria-invalid", "true");
  else form.elements.order.removeAttribute("aria-invalid");
}

function orderLine(order, work, leave) {
  order.addEventListener("input", () => work.write(order.value));
  order.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault(); // Enter ends the line; on the button, where the focus is then, it submits
    if (!work.write(order.value)) leave();
  });
}

/** Skipping is a dialog, where there is a script. */
function skipping(saver, number) {
  const part = document.getElementById("skipping");
  if (!part) return;
  const dialog = document.createElement("dialog");
  const close = document.createElement("button");
  Object.assign(close, { type: "button", textContent: "Go on with it" });
  close.addEventListener("click", () => dialog.close());
  dialog.setAttribute("aria-label", "Skip this item");
  part.classList.remove("panel");
  part.querySelector(".row").prepend(close);
  part.before(dialog);
  dialog.append(part);
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.showModal();
  });
  const tell = teller(document.getElementById("state"), () => {}, null);
  part.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { body, status } = await deliver(`/item/${number}/skip`, new FormData(part), tell);
    if (body.next) {
      saver.finish();
      location.assign(body.next);
    } else tell("refused", `Not skipped: ${body.error ?? `the server says ${status}`}`);
  });
}

function keys({ work, cards, board, submit, singleKeys, order }) {
  const help = document.getElementById("help");
  const everywhere = {
    u: () => work.undo(),
    U: () => work.redo(),
    "/": () => { order.focus(); order.select(); },
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || isText(event.target) || document.querySelector("dialog[open]")) return;
    const acts = () => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return submit() ?? true;
      if (event.ctrlKey || event.metaKey) return false;
      const onBoard = document.getElementById("board").contains(event.target);
      if (singleKeys && !event.altKey && event.key in everywhere) return everywhere[event.key]() ?? true;
      if (onBoard) return board.key(event, singleKeys);
      if (event.key === "Enter" && event.target.closest("button, a, summary")) return false;
      if (event.altKey || event.target.closest("summary") && event.key === " ") return false;
      return (singleKeys && cards.key(event)) || (event.key === "Enter" && event.target.matches("input"));
    };
    if (acts()) event.preventDefault();
  });
}

function isText(target) {
  return target.matches("textarea, select, input:not([type=radio], [type=checkbox])") || target.isContentEditable;
}

/** Says a sentence to whoever listens; the same one twice, too. */
function announcer(place) {
  return (words) => {
    place.textContent = "";
    requestAnimationFrame(() => { place.textContent = words; });
  };
}

/** Shows where the work is kept; what is no matter of course is said aloud. */
function teller(place, announce, logIn) {
  return (state, words) => {
    const changed = place.dataset.state !== state;
    place.dataset.state = state;
    place.textContent = words;
    if (state === "out" && logIn) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: document.getElementById("login").dataset.opener });
      button.addEventListener("click", logIn);
      place.append(" ", button);
    }
    if (changed && !["saving", "saved"].includes(state)) announce(words);
  };
}

/** Below what stays in sight there is room for what is scrolled to. */
function stayInSight() {
  const sight = document.getElementById("sight");
  const measure = () => {
    const sticks = getComputedStyle(sight).position === "sticky";
    const height = (sticks ? sight : sight.querySelector(".topline")).offsetHeight;
    document.documentElement.style.setProperty("--sight", `${height}px`);
  };
  new ResizeObserver(measure).observe(sight);
  measure();
}

function reveal(element) {
  element.scrollIntoView({ block: "start" });
}
