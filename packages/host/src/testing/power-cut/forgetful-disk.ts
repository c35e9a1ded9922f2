/**
 * A disk that forgets: from what a process did to its files (recorder.ts) it makes what a power cut may leave of them.
 *
 *     durable │ change, change, change …            of each file, of each file's size, of each name in a directory
 *             └─ since its last sync: any of these may be the last that arrived
 *
 * Rules:
 *   F1. What was synced is there.
 *   F2. Each sector of a file is as it was at some moment since the file's last sync, its size likewise, and each name in
 *       a directory likewise since the directory's. A sector is never torn in itself, and a file is cut or is not: what
 *       lay behind the cut goes with the size (journaling file systems finish a truncation that they began).
 *   F3. Nothing is ordered between files, sectors and names, save by a sync. A file's sync says nothing of its name: POSIX
 *       asks for no more (ext4 and XFS do more).
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Random } from "@holdfast/core";
import type { Operation } from "./recorder.ts";

const SECTOR_BYTES = 512;

/** Files and directories by path, relative to the disk's root; a directory is undefined. */
export type Image = ReadonlyMap<string, Buffer | undefined>;

/** Of a thing that changed `changes` times since its last sync, how many of the changes arrived; `part` is a sector, the size, or a name. */
type Fate = (part: number | string) => number;

export class ForgetfulDisk {
  readonly #root = new Folder();

  /** What lies in `root` is durable. */
  constructor(root: string) {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const folder = this.#folder(join(entry.parentPath, entry.name).slice(root.length + 1));
      folder.set(entry.name, entry.isDirectory() ? new Folder() : new File(readFileSync(join(entry.parentPath, entry.name))));
    }
    this.#root.sync({ recursive: true });
  }

  apply(operation: Operation): void {
    const { path } = operation;
    const name = basename(path);
    switch (operation.kind) {
      case "create": return this.#folder(path).set(name, new File());
      case "mkdir": return this.#folder(path).set(name, new Folder());
      case "remove": return this.#folder(path).set(name, undefined);
      case "link": return this.#folder(operation.to).set(basename(operation.to), this.#node(path));
      case "rename":
        this.#folder(operation.to).set(basename(operation.to), this.#node(path));
        return this.#folder(path).set(name, undefined);
      case "sync": return this.#node(path).sync();
      case "write": return this.#file(path).write(operation.offset, operation.data);
      case "resize": return this.#file(path).resize(operation.bytes);
    }
  }

  /** As the process saw it. */
  current(): Image {
    return this.#image((changes) => () => changes);
  }

  /** After a power cut now. */
  afterPowerCut(random: Random): Image {
    return this.#image((changes) => drawFate(changes, random));
  }

  #image(fateOf: (changes: number) => Fate): Image {
    const image = new Map<string, Buffer | undefined>();
    const contents = new Map<File, Buffer>(); // a file with two names has one content
    const add = (folder: Folder, path: string): void => {
      for (const [name, node] of folder.after(fateOf(folder.changes))) {
        const inside = join(path, name);
        if (node instanceof File && !contents.has(node)) contents.set(node, node.after(fateOf(node.changes)));
        image.set(inside, node instanceof File ? contents.get(node) : undefined);
        if (node instanceof Folder) add(node, inside);
      }
    };
    add(this.#root, "");
    return image;
  }

  #node(path: string): Folder | File {
    let node: Folder | File | undefined = this.#root;
    for (const name of path.split("/").filter(Boolean)) node = node instanceof Folder ? node.entries.get(name) : undefined;
    if (node === undefined) throw new Error(`the record knows no ${path}`);
    return node;
  }

  /** The directory that holds the path. */
  #folder(path: string): Folder {
    return this.#node(dirname(path) === "." ? "" : dirname(path)) as Folder;
  }

  #file(path: string): File {
    return this.#node(path) as File;
  }
}

export function writeImage(image: Image, root: string): void {
  for (const [path, content] of image) {
    if (content === undefined) mkdirSync(join(root, path), { mode: 0o700 });
    else writeFileSync(join(root, path), content, { mode: 0o600 });
  }
}

/** Nothing arrived; all; what came before a moment, the last write torn; or each part by itself. */
function drawFate(changes: number, random: Random): Fate {
  const some = () => random.below(changes + 1);
  const fates: (() => Fate)[] = [
    () => () => 0,
    () => () => changes,
    () => {
      const [whole, tear] = [some(), random.below(1 << 12)];
      return (part) => (typeof part === "number" && part % (1 << 12) < tear ? Math.min(whole + 1, changes) : whole);
    },
    () => {
      const drawn = new Map<number | string, number>();
      return (part) => drawn.get(part) ?? (drawn.set(part, some()), drawn.get(part)!);
    },
  ];
  return fates[random.below(fates.length)]!();
}

class Folder {
  readonly entries = new Map<string, Folder | File>();
  #durable: ReadonlyMap<string, Folder | File> = new Map();
  #pending: { readonly name: string; readonly node: Folder | File | undefined }[] = [];

  get changes(): number {
    return this.#pending.length;
  }

  set(name: string, node: Folder | File | undefined): void {
    this.#pending.push({ name, node });
    put(this.entries, name, node);
  }

  sync(options: { readonly recursive?: boolean } = {}): void {
    this.#durable = new Map(this.entries);
    this.#pending = [];
    if (options.recursive === true) for (const node of this.entries.values()) node.sync(options);
  }

  after(fate: Fate): ReadonlyMap<string, Folder | File> {
    const entries = new Map(this.#durable);
    for (const [index, { name, node }] of this.#pending.entries()) if (index < fate(name)) put(entries, name, node);
    return entries;
  }
}

function put(entries: Map<string, Folder | File>, name: string, node: Folder | File | undefined): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}

class File {
  #durable: Buffer;
  #pending: ({ readonly offset: number; readonly data: Buffer } | { readonly bytes: number })[] = [];

  constructor(durable: Buffer = Buffer.alloc(0)) {
    this.#durable = durable;
  }

  get changes(): number {
    return this.#pending.length;
  }

  write(offset: number, data: Buffer): void {
    this.#pending.push({ offset, data });
  }

  resize(bytes: number): void {
    this.#pending.push({ bytes });
  }

  sync(): void {
    this.#durable = this.after(() => this.#pending.length);
    this.#pending = [];
  }

  after(fate: Fate): Buffer {
    if (this.#pending.length === 0) return this.#durable;
    const ends = this.#pending.map((change) => ("data" in change ? change.offset + change.data.length : change.bytes));
    const content = Buffer.alloc(Math.max(this.#durable.length, ...ends));
    this.#durable.copy(content);
    let size = this.#durable.length;
    for (const [index, change] of this.#pending.entries()) {
      const sized = index < fate("size");
      if ("bytes" in change) {
        if (sized) content.fill(0, (size = change.bytes));
        continue;
      }
      const [from, to] = [change.offset, ends[index]!];
      for (let at = from; at < to; ) {
        const sector = Math.floor(at / SECTOR_BYTES);
        const next = Math.min((sector + 1) * SECTOR_BYTES, to);
        if (index < fate(sector)) change.data.copy(content, at, at - from, next - from);
        at = next;
      }
      if (sized) size = Math.max(size, to);
    }
    return content.subarray(0, size);
  }
}
