// What the page keeps, in this browser alone and apart for each account. A browser may refuse to keep anything, or so
// much: then the page works all the same, and forgets.

export class Keep {
  #storage;
  #name;

  constructor(storage, name) {
    this.#storage = storage;
    this.#name = name;
  }

  // Gives what was kept, if it is of this version; otherwise null.
  load(version) {
    try {
      const kept = JSON.parse(this.#storage.getItem(this.#name));
      return kept?.version === version ? kept : null;
    } catch {
      return null;
    }
  }

  // Tells whether it is kept.
  save(value) {
    try {
      this.#storage.setItem(this.#name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }
}
