import { RuntimeError } from "../../base/errors.ts";

/**
 * Ranges of IP addresses in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3), and what of a multiaddr they are compared
 * with. An IPv4 address that is written as IPv6 (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), as sockets for both families
 * report it, is the IPv4 address: otherwise a rule could be passed by.
 */

/** An address as groups of 16 bits, the highest first: 2 of them for IPv4, 8 for IPv6. */
export type IpAddress = readonly number[];

/** All addresses that share the first `prefix` bits. */
export interface AddressRange {
  readonly address: IpAddress;
  readonly prefix: number;
}

/** What rules look at in one address. */
export interface AddressParts {
  /** The names of its protocols: ip4, tcp, ws, unix, … */
  readonly protocols: readonly string[];
  /** Every IP address in it: a path through a relay names two. */
  readonly ips: readonly IpAddress[];
}

const MAPPED_PREFIX = 96;

/** Multiaddr protocols that a value follows. Source: multiformats, multiaddr protocols.csv. What is not listed has none. */
const WITH_VALUE: ReadonlySet<string> = new Set([
  "ip4", "ip6", "ip6zone", "ipcidr", "dns", "dns4", "dns6", "dnsaddr", "tcp", "udp", "dccp", "sctp", "p2p", "ipfs", "sni",
  "certhash", "http-path", "onion", "onion3", "garlic32", "garlic64", "memory",
]);

/**
 * `10.0.0.0/8`, `2001:db8::/32`, or as a multiaddr, `/ip4/10.0.0.0/ipcidr/8`. Throws OPTION_INVALID naming what is wrong
 * with the text: a rule that was mistyped must not become another rule.
 */
export function parseAddressRange(text: string): AddressRange {
  const refuse = (reason: string): RuntimeError => new RuntimeError("OPTION_INVALID", { option: "address range", value: text.slice(0, 64), reason });
  const spelled = /^\/(ip4|ip6)\/([^/]+)\/ipcidr\/([^/]+)$/.exec(text);
  const [ip, bits, ...rest] = spelled === null ? text.split("/") : [spelled[2], spelled[3]];
  if (ip === undefined || bits === undefined || rest.length > 0) throw refuse("expected ADDRESS/BITS, such as 10.0.0.0/8 or 2001:db8::/32");
  const written = parseIp(ip);
  if (written === undefined || (spelled !== null && (spelled[1] === "ip4") !== (written.length === 2))) throw refuse(`${ip} is no IP address`);
  const most = written.length * 16;
  if (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > most) throw refuse(`the bits of the prefix are 0 to ${most}`);
  const prefix = Number(bits);
  const masked = mask(written, prefix);
  if (masked.some((group, at) => group !== written[at])) {
    throw refuse(`bits are set behind the prefix; ${ipText(masked)}/${prefix} is the range around it, ${ipText(written)}/${most} the one address`);
  }
  const mapped = prefix >= MAPPED_PREFIX ? unmapped(masked) : masked;
  return mapped.length < masked.length ? { address: mapped, prefix: prefix - MAPPED_PREFIX } : { address: masked, prefix };
}

/** The one spelling of a range, by which entries are told apart. */
export function addressRangeText({ address, prefix }: AddressRange): string {
  return `${ipText(address)}/${prefix}`;
}

export function isInRange(ip: IpAddress, { address, prefix }: AddressRange): boolean {
  if (ip.length !== address.length) return false;
  const whole = Math.floor(prefix / 16);
  for (let at = 0; at < whole; at++) if (ip[at] !== address[at]) return false;
  const rest = prefix % 16;
  return rest === 0 || (ip[whole]! >>> (16 - rest)) === (address[whole]! >>> (16 - rest));
}

/** Reads a multiaddr as far as rules need it. What cannot be read matches no rule, so it has no part. */
export function addressParts(multiaddr: string): AddressParts {
  const protocols: string[] = [];
  const ips: IpAddress[] = [];
  const parts = multiaddr.split("/");
  for (let at = 1; at < parts.length; at++) {
    const name = parts[at]!;
    if (name === "") continue;
    protocols.push(name);
    if (name === "unix") break; // a path follows, to the end
    if (!WITH_VALUE.has(name)) continue;
    const value = parts[++at];
    const ip = (name === "ip4" || name === "ip6") && value !== undefined ? parseIp(value) : undefined;
    if (ip !== undefined) ips.push(unmapped(ip));
  }
  return { protocols, ips };
}

/** The groups of an IPv4 or IPv6 address, undefined for any other text. A zone (`%eth0`) is left out. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(":")) return parseIp4(text);
  const [address = ""] = text.split("%", 1);
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : groupsOf(half)));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const given = head.length + (tail?.length ?? 0);
  if (halves.length === 1) return given === 8 ? head : undefined;
  return given > 7 ? undefined : [...head, ...new Array<number>(8 - given).fill(0), ...(tail ?? [])];
}

/** Colon-separated groups; the last may be an IPv4 address, which is two. */
function groupsOf(text: string): number[] | undefined {
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else {
      const embedded = at === parts.length - 1 ? parseIp4(part) : undefined;
      if (embedded === undefined) return undefined;
      groups.push(...embedded);
    }
  }
  return groups;
}

/** Four decimal bytes without leading zeros, which some read as octal. */
function parseIp4(text: string): number[] | undefined {
  const bytes = text.split(".");
  if (bytes.length !== 4 || !bytes.every((byte) => /^(0|[1-9]\d{0,2})$/.test(byte) && Number(byte) < 256)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number);
  return [a * 256 + b, c * 256 + d];
}

function unmapped(ip: IpAddress): IpAddress {
  const isMapped = ip.length === 8 && ip[5] === 0xffff && ip.slice(0, 5).every((group) => group === 0);
  return isMapped ? ip.slice(6) : ip;
}

function mask(ip: IpAddress, prefix: number): IpAddress {
  return ip.map((group, at) => {
    const kept = Math.min(Math.max(prefix - at * 16, 0), 16);
    return (group >>> (16 - kept)) * 2 ** (16 - kept);
  });
}

/** The spelling of RFC 5952: lower case, the longest run of two or more zero groups left out, the first of equal ones. */
export function ipText(ip: IpAddress): string {
  if (ip.length === 2) return ip.flatMap((group) => [group >>> 8, group & 255]).join(".");
  let start = 0;
  let length = 0;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && ip[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const text = (groups: IpAddress): string => groups.map((group) => group.toString(16)).join(":");
  return length < 2 ? text(ip) : `${text(ip.slice(0, start))}::${text(ip.slice(start + length))}`;
}
