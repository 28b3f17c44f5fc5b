// Dragging chips between the board's rows by pointer events: with a mouse anywhere on the chip, by touch at its handle.

const FAR = 5; // pixels from which a press is a drag
const EDGE = 70; // pixels from the window's edges where the page scrolls along
const NEAR = 40; // pixels beside a row that still are the row
const SPEED = 10;

export class Drag {
  /** `drop(letter, rank)` is called where a chip is let go over a row. */
  constructor(root, drop) {
    this.root = root;
    this.drop = drop;
    this.now = null;
    root.addEventListener("pointerdown", (event) => this.#press(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    root.addEventListener("pointerup", (event) => this.#end(event, true));
    root.addEventListener("pointercancel", (event) => this.#end(event, false));
    root.addEventListener("click", (event) => {
      if (!this.dragged) return;
      this.dragged = false; // the click that ends a drag chooses nothing
      event.stopImmediatePropagation();
    }, { capture: true });
    window.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.now?.moving) this.#end(event, false);
    });
  }

  #press(event) {
    const chip = event.target.closest(".chip");
    this.dragged = false;
    if (!chip || event.button !== 0 || this.now) return;
    if (event.pointerType === "touch" && !event.target.closest(".handle")) return;
    this.now = { chip, id: event.pointerId, x: event.clientX, y: event.clientY, top: window.scrollY, moving: false };
    chip.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const now = this.now;
    if (!now || event.pointerId !== now.id) return;
    now.to = [event.clientX, event.clientY];
    if (!now.moving && Math.hypot(event.clientX - now.x, event.clientY - now.y) < FAR) return;
    if (!now.moving) {
      now.moving = true;
      now.chip.classList.add("dragged");
      this.#scroll();
    }
    this.#show();
  }

  #show() {
    const { chip, x, y, to, top } = this.now;
    chip.style.transform = `translate(${to[0] - x}px, ${to[1] - y + window.scrollY - top}px)`;
    const over = this.#over();
    for (const row of this.root.children) row.classList.toggle("over", row === over);
  }

  /** The row under the pointer, or the nearest a little above or below it. */
  #over() {
    const [x, y] = this.now.to;
    const near = [...this.root.children].map((row) => {
      const { left, right, top, bottom } = row.getBoundingClientRect();
      return [x < left - NEAR || x > right + NEAR ? Infinity : Math.max(top - y, y - bottom, 0), row];
    });
    const [distance, row] = near.reduce((best, one) => (one[0] < best[0] ? one : best));
    return distance <= NEAR ? row : null;
  }

  #scroll() {
    if (!this.now?.moving) return;
    const y = this.now.to[1];
    const top = document.getElementById("sight").getBoundingClientRect().bottom;
    if (y < Math.max(top, 0) + EDGE) window.scrollBy(0, -SPEED);
    else if (y > window.innerHeight - EDGE) window.scrollBy(0, SPEED);
    this.#show();
    requestAnimationFrame(() => this.#scroll());
  }

  #end(event, kept) {
    const now = this.now;
    if (!now) return;
    const over = now.moving && kept ? this.#over() : null;
    this.dragged = now.moving;
    this.now = null;
    now.chip.classList.remove("dragged");
    now.chip.style.transform = "";
    for (const row of this.root.children) row.classList.remove("over");
    if (over) this.drop(now.chip.dataset.letter, Number(over.dataset.rank));
  }
}
