// The answers' cards: their inputs in step with what is said, their keys, folds and standing.

const LINES = 12;

export class Cards {
  constructor(form, work, toBoard) {
    this.form = form;
    this.work = work;
    this.toBoard = toBoard;
    this.all = [...form.querySelectorAll(".card")];
    this.last = this.all[0];
    for (const card of this.all) fold(card.querySelector("[data-fold]"));
    const answers = form.querySelector("#answers");
    answers.addEventListener("input", (event) => this.#input(event.target));
    answers.addEventListener("focusin", (event) => { this.last = event.target.closest(".card") ?? this.last; });
    work.listen(() => this.render());
    this.render();
  }

  /** What the form says of the answers, by letter. */
  static read(form, letters) {
    const of = (letter) => ({
      likert: Number(form.querySelector(`[name="likert.${letter}"]:checked`)?.value) || null,
      flags: [...form.querySelectorAll(`[name^="flag.${letter}."]:checked`)].map((box) => box.name.split(".")[2]).sort(),
      note: form.elements[`note.${letter}`]?.value ?? "",
    });
    return Object.fromEntries(letters.map((letter) => [letter, of(letter)]));
  }

  render() {
    const { ratings, ranks } = this.work.said;
    for (const card of this.all) {
      const { letter } = card.dataset;
      const said = ratings[letter];
      for (const input of card.querySelectorAll("input")) {
        const [kind, , field] = input.name.split(".");
        input.checked = kind === "likert" ? Number(input.value) === said.likert : said.flags.includes(field);
      }
      const note = this.form.elements[`note.${letter}`];
      if (note && note.value !== said.note) note.value = said.note;
      card.querySelector("[data-standing]").textContent = letter in ranks ? `rank ${ranks[letter]}` : "";
    }
  }

  /** Acts on a key, if it is one of the cards': whether it was. */
  key(event) {
    const card = document.activeElement?.closest(".card") ?? this.last;
    const { letter } = card.dataset;
    const flag = card.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (event.key === "j" || event.key === "k") this.#go(this.all[this.all.indexOf(card) + (event.key === "j" ? 1 : -1)]);
    else if (/^[1-7]$/.test(event.key) && this.work.asked !== "none") {
      this.work.rate(letter, Number(event.key));
      this.#go(card);
    } else if (event.key === "Enter") this.#next(card);
    else if (flag) {
      const field = flag.name.split(".")[2];
      this.work.flag(letter, field, !flag.checked, flag.closest("label").textContent.trim());
      this.#go(card);
    } else return false;
    return true;
  }

  /** Shows a field and gives it the focus: "likert.C". */
  show(field) {
    const letter = field.split(".")[1];
    const input = this.form.querySelector(`[name="likert.${letter}"]`);
    this.#go(input.closest(".card"));
    input.focus({ preventScroll: true });
  }

  #next(card) {
    const rest = this.all.slice(this.all.indexOf(card) + 1);
    const open = ({ dataset }) => this.work.asked !== "none" && !this.work.said.ratings[dataset.letter].likert;
    const next = rest.find(open);
    if (next) this.#go(next);
    else this.toBoard();
  }

  #go(card) {
    if (!card) return;
    const moved = !card.contains(document.activeElement);
    if (moved || document.activeElement.matches("button, summary")) card.focus({ preventScroll: true });
    const { top, bottom } = card.getBoundingClientRect();
    const edge = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    if (moved || bottom < edge || top > window.innerHeight) card.scrollIntoView({ block: "start" });
  }

  #input(target) {
    const [kind, letter, field] = target.name.split(".");
    if (kind === "likert") this.work.rate(letter, Number(target.value));
    else if (kind === "flag") this.work.flag(letter, field, target.checked, target.closest("label").textContent.trim());
    else if (kind === "note") this.work.note(letter, target.value);
  }
}

/** A text of more than twelve lines shows these, and a button for the rest. */
function fold(text) {
  const line = parseFloat(getComputedStyle(text).lineHeight);
  if (text.scrollHeight <= (LINES + 1.5) * line) return;
  const button = document.createElement("button");
  const turn = (folded) => {
    text.classList.toggle("folded", folded);
    button.textContent = folded ? "Show all of it" : "Show less";
    button.setAttribute("aria-expanded", String(!folded));
  };
  button.type = "button";
  button.className = "plain unfold";
  button.setAttribute("aria-controls", text.id);
  button.addEventListener("click", () => turn(!text.classList.contains("folded")));
  text.after(button);
  turn(true);
}
