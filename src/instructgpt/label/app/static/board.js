// The board: "To be ranked", and a row for each rank. Chips move by drag, by keys, and by choosing one and then a rank.

import { Drag } from "./drag.js";
import { standing } from "./order.js";

const TWO_DIGITS = 1000;

export class Board {
  /** `root` gets the rows; `announce` says a sentence to whoever listens. */
  constructor(root, work, cards, announce) {
    this.root = root;
    this.work = work;
    this.announce = announce;
    this.picked = "";
    this.from = 0;
    this.typed = { letter: "", rank: 0, at: 0 };
    this.chips = Object.fromEntries(work.letters.map((letter) => [letter, chip(letter, cards[letter])]));
    this.rows = [0, ...work.letters.keys()].map((_, rank) => row(rank, work.letters.length));
    root.replaceChildren(...this.rows);
    root.addEventListener("click", (event) => this.#click(event));
    new Drag(root, (letter, rank) => this.#drop(letter, rank));
    work.listen(() => this.render());
    this.render();
  }

  /** Each chip into its row, alphabetically; the focus stays where it was. */
  render() {
    const { ranks, ratings } = this.work.said;
    const focused = document.activeElement;
    for (const [rank, element] of this.rows.entries()) {
      const here = this.work.letters.filter((letter) => (ranks[letter] ?? 0) === rank);
      const place = element.querySelector(".chips");
      const wanted = here.map((letter) => this.chips[letter]);
      if (wanted.length !== place.children.length || wanted.some((one, i) => one !== place.children[i])) {
        place.replaceChildren(...wanted);
      }
      element.classList.toggle("tied", rank > 0 && here.length > 1);
      element.classList.toggle("empty", !here.length);
    }
    for (const [letter, element] of Object.entries(this.chips)) {
      element.setAttribute("aria-pressed", String(letter === this.picked));
      element.querySelector(".rated").textContent = ratings[letter]?.likert ?? "";
      element.setAttribute("aria-label", `${standing(ranks, letter)}: ${element.title}`);
    }
    this.root.classList.toggle("picking", Boolean(this.picked));
    if (focused && focused !== document.activeElement && this.root.contains(focused)) focused.focus({ preventScroll: true });
  }

  /** Takes an answer in hand. */
  pick(letter) {
    this.picked = letter;
    this.from = this.work.said.ranks[letter] ?? 0;
    this.render();
    this.chips[letter].focus();
    this.announce(`${standing(this.work.said.ranks, letter)}, chosen`);
  }

  release() {
    this.picked = "";
    this.render();
  }

  /** The answer that keys act on: the one in hand, else the focused one. */
  get current() {
    return this.picked || document.activeElement?.closest?.(".chip")?.dataset.letter || "";
  }

  /** Puts an answer into a rank, 0 being none, and says where it is. */
  place(letter, rank) {
    const next = { ...this.work.said.ranks, [letter]: rank };
    if (!rank) delete next[letter];
    const words = standing(next, letter);
    this.work.place(letter, rank, words);
    this.announce(words);
  }

  /** A rank up (-1) or down (+1); from "to be ranked" up is the last rank, down the first. */
  move(letter, step) {
    const last = this.work.letters.length;
    const rank = this.work.said.ranks[letter];
    if (!rank) return this.place(letter, step < 0 ? last : 1);
    return this.place(letter, Math.min(last, Math.max(0, rank + step)));
  }

  /** Ties an answer with the nearest above it. */
  tie(letter) {
    const { ranks } = this.work.said;
    const above = Object.keys(ranks).filter((one) => one !== letter).map((one) => ranks[one])
      .filter((rank) => rank < (ranks[letter] ?? Infinity));
    if (above.length) this.place(letter, Math.max(...above));
    else this.announce(`There is no answer above ${letter}`);
  }

  /** Acts on a key, if it is one of the board's: whether it was. */
  key(event, singleKeys) {
    const arrow = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const letter = event.key.length === 1 ? event.key.toUpperCase() : "";
    if (arrow && (event.altKey || this.picked) && this.current) this.move(this.current, arrow);
    else if (event.altKey) return false;
    else if (arrow || event.key === "ArrowLeft" || event.key === "ArrowRight") {
      return this.#step(arrow ?? (event.key === "ArrowLeft" ? -1 : 1));
    } else if (event.key === "Escape" && this.picked) this.#putBack();
    else if (!singleKeys) return false;
    else if (this.work.letters.includes(letter)) this.pick(letter);
    else if (/^[0-9]$/.test(event.key) && this.current) this.#digit(Number(event.key));
    else if (event.key === "=" && this.current) this.tie(this.current);
    else return false;
    return true;
  }

  /** Where the focus goes when the board is next: the first that is not ranked, else the first. */
  enter() {
    const left = this.work.letters.find((letter) => !(letter in this.work.said.ranks));
    const first = this.chips[left] ?? this.root.querySelector(".chip");
    first.focus();
  }

  /** A rank by its digit; by two, if the second follows within a second and there is such a rank. */
  #digit(digit) {
    const { letter, rank: first, at } = this.typed;
    const both = 10 * first + digit;
    const goesOn = first && letter === this.current && performance.now() - at < TWO_DIGITS && both <= this.work.letters.length;
    const rank = goesOn ? both : digit;
    this.typed = { letter: this.current, rank: goesOn ? 0 : digit, at: performance.now() };
    if (rank <= this.work.letters.length) this.place(this.current, rank);
    else this.announce(`There is no rank ${rank}`);
  }

  #step(by) {
    const all = [...this.root.querySelectorAll(".chip, .rank-name")];
    const next = all[all.indexOf(document.activeElement) + by];
    if (!all.includes(document.activeElement) || !next) return false;
    next.focus();
    return true;
  }

  #putBack() {
    const letter = this.picked;
    this.picked = "";
    if ((this.work.said.ranks[letter] ?? 0) === this.from) this.render();
    else this.place(letter, this.from);
  }

  #click(event) {
    const letter = event.target.closest(".chip")?.dataset.letter;
    const rank = event.target.closest("[data-rank]")?.dataset.rank;
    if (letter && letter === this.picked) {
      this.release();
      this.announce(standing(this.work.said.ranks, letter));
    } else if (letter) this.pick(letter);
    else if (rank && this.picked) this.#drop(this.picked, Number(rank));
    else if (event.target.closest(".rank-name")) this.announce("Choose an answer first");
  }

  #drop(letter, rank) {
    this.picked = "";
    this.place(letter, rank);
    this.render();
  }
}

function chip(letter, excerpt) {
  const element = make("button", "chip");
  element.type = "button";
  element.dataset.letter = letter;
  element.title = excerpt;
  const handle = make("span", "handle");
  handle.setAttribute("aria-hidden", "true");
  element.append(handle, make("b", "", letter), make("span", "begin", excerpt), make("span", "rated"));
  return element;
}

function row(rank, last) {
  const words = { 0: "To be ranked", 1: "1 best", [last]: `${last} worst` }[rank] ?? String(rank);
  const [name, more] = rank ? words.split(" ") : [words, ""];
  const element = make("div", rank ? "rank-row" : "rank-row tray");
  element.dataset.rank = rank;
  const button = make("button", "rank-name", name);
  button.type = "button";
  if (more) button.append(make("small", "", more));
  button.setAttribute("aria-label", rank ? `Rank ${words}: put the chosen answer here` : `${words}: put the chosen answer back`);
  const place = make("div", "chips");
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", rank ? `Rank ${words}` : words);
  element.append(button, place);
  return element;
}

function make(tag, name, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}
