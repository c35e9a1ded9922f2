import assert from "node:assert/strict";
import { BlockList, isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressParts, addressRangeText, ipText, isInRange, parseAddressRange, parseIp } from "./address-range.ts";

const inRange = (range: string, address: string): boolean => addressParts(address).ips.some((ip) => isInRange(ip, parseAddressRange(range)));

const ranges = [
  ["10.0.0.0/8", "/ip4/10.255.1.2/tcp/1", true],
  ["10.0.0.0/8", "/ip4/11.0.0.0/tcp/1", false],
  ["10.1.2.3/32", "/ip4/10.1.2.3/tcp/1", true],
  ["192.168.4.0/22", "/ip4/192.168.7.255/tcp/1", true],
  ["192.168.4.0/22", "/ip4/192.168.8.0/tcp/1", false],
  ["0.0.0.0/0", "/ip4/8.8.8.8/udp/9/quic-v1", true],
  ["0.0.0.0/0", "/ip6/::1/tcp/1", false],
  ["::/0", "/ip4/8.8.8.8/tcp/1", false],
  ["2001:db8::/33", "/ip6/2001:db8:7fff::1/tcp/1", true],
  ["2001:db8::/33", "/ip6/2001:db8:8000::1/tcp/1", false],
  ["10.0.0.0/8", "/ip6/::ffff:10.1.2.3/tcp/1", true],
  ["::ffff:10.0.0.0/104", "/ip4/10.1.2.3/tcp/1", true],
  ["fe80::/10", "/ip6zone/eth0/ip6/fe80::1/tcp/1", true],
  ["fe80::/10", "/ip6/fe80::1%eth0/tcp/1", true],
  ["/ip4/10.0.0.0/ipcidr/8", "/ip4/10.0.0.1/tcp/1", true],
  ["10.0.0.0/8", "/ip4/1.1.1.1/tcp/1/p2p/x/p2p-circuit/ip4/10.0.0.1/tcp/2", true],
  ["10.0.0.0/8", "/dns4/10.0.0.1/tcp/1", false],
  ["10.0.0.0/8", "/unix/ip4/10.0.0.1", false],
] as const;

for (const [range, address, expected] of ranges) {
  test(`range: ${address} is ${expected ? "" : "not "}in ${range}`, () => assert.equal(inRange(range, address), expected));
}

const malformed = [
  ["10.0.0.0", /ADDRESS\/BITS/], ["", /ADDRESS\/BITS/], ["10.0.0.0/8/9", /ADDRESS\/BITS/], ["10.0.0/8", /10\.0\.0 is no IP/],
  ["10.0.0.256/32", /is no IP/], ["010.0.0.0/8", /is no IP/], ["10.0.0.0/33", /0 to 32/], ["::/129", /0 to 128/], ["10.0.0.0/-1", /0 to 32/],
  ["10.0.0.0/08", /0 to 32/], ["10.0.0.5/8", /10\.0\.0\.0\/8 is the range around it, 10\.0\.0\.5\/32 the one address/],
  ["1::2::3/64", /is no IP/], ["1:2:3:4:5:6:7/64", /is no IP/], ["1:2:3:4:5:6:7::8/64", /is no IP/], ["12345::/16", /is no IP/], ["g::/16", /is no IP/],
  ["/ip6/10.0.0.0/ipcidr/8", /is no IP/], ["/ip4/10.0.0.0/tcp/8", /ADDRESS\/BITS/],
] as const;

for (const [text, reason] of malformed) {
  test(`range: ${JSON.stringify(text)} is refused by name`, () => {
    assert.throws(() => parseAddressRange(text), (error: Error & { code: string }) => error.code === "OPTION_INVALID" && reason.test(error.message));
  });
}

const ip4 = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 }).map((bytes) => bytes.join("."));
const ip6 = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((group) => group.toString(16)).join(":"));

test("range: an address is in a range exactly where Node.js says so", () => {
  fc.assert(fc.property(fc.oneof(fc.tuple(ip4, ip4, fc.nat(32)), fc.tuple(ip6, ip6, fc.nat(128))), fc.nat(15), ([base, other, prefix], near) => {
    const written = parseIp(base)!;
    const network = { address: written.map((group, at) => (group >>> (16 - keptBits(prefix, at))) * 2 ** (16 - keptBits(prefix, at))), prefix };
    const list = new BlockList();
    list.addSubnet(ipText(network.address), prefix, isIP(base) === 4 ? "ipv4" : "ipv6");
    // One beside the network's edge, and one anywhere.
    const close = [...network.address.slice(0, -1), network.address.at(-1)! ^ near];
    for (const address of [ipText(close), other]) {
      const ip = parseIp(address)!;
      assert.equal(isInRange(ip, network), list.check(address, isIP(address) === 4 ? "ipv4" : "ipv6"), `${address} in ${addressRangeText(network)}`);
    }
  }));
});

test("range: its text is the one spelling, and reads as itself", () => {
  fc.assert(fc.property(fc.oneof(fc.tuple(ip4, fc.constant(32)), fc.tuple(ip6, fc.constant(128))), ([address, prefix]) => {
    const text = addressRangeText(parseAddressRange(`${address}/${prefix}`));
    assert.equal(addressRangeText(parseAddressRange(text)), text);
  }));
  const spelled = (text: string): string => addressRangeText(parseAddressRange(text));
  assert.equal(spelled("2001:DB8:0:0:1:0:0:0/128"), "2001:db8:0:0:1::/128");
  assert.equal(spelled("::ffff:10.0.0.0/104"), "10.0.0.0/8");
  assert.equal(spelled("0:0:0:0:0:0:0:0/0"), "::/0");
});

test("range: any text is read or left out, never thrown at", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.array(fc.constantFrom("/", "ip4", "ip6", "tcp", "unix", "::1", "1.2.3.4", "x")).map((parts) => parts.join("/"))), (text) => {
    assert.ok(addressParts(text).ips.every((ip) => ip.length === 2 || ip.length === 8));
  }));
});

function keptBits(prefix: number, at: number): number {
  return Math.min(Math.max(prefix - at * 16, 0), 16);
}
