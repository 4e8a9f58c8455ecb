import { createSocket } from "node:dgram";
import { once } from "node:events";
import { randomInt } from "node:crypto";

/**
 * A server of names that knows one name, on an address of loopback: the port of DNS cannot be another in resolv.conf.
 * RFC 1035, section 4.
 *
 * @typedef {{address: string, asked: Set<string>, close: () => void}} Names `asked`: what it was asked for
 */

const PORT = 53;
const TYPE_A = 1;
const CLASS_IN = 1;
const RECURSION = { desired: 0x0100, available: 0x0080 };
const RESPONSE = 0x8000;
const NAME_ERROR = 3;

/** How often another address is tried where somebody has the port. */
const ATTEMPTS = 5;

/** @param {string} name @param {number[]} ip of four bytes @returns {Promise<Names>} */
export async function serveNames(name, ip) {
  const asked = new Set();
  const { socket, address } = await listen();
  socket.on("message", (query, { address: host, port }) => {
    const question = readQuestion(query);
    asked.add(question.name);
    socket.send(answer(query, question, question.name === name ? ip : null), port, host);
  });
  return { address, asked, close: () => void socket.close() };
}

async function listen() {
  for (let tried = 1; ; tried += 1) {
    const socket = createSocket("udp4");
    const address = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
    try {
      socket.bind(PORT, address);
      await once(socket, "listening");
      return { socket, address };
    } catch (error) {
      if (tried === ATTEMPTS) throw error;
    }
  }
}

/** @param {Buffer} query @returns {{name: string, type: number, end: number}} `end`: where the question ends */
function readQuestion(query) {
  const labels = [];
  let at = 12;
  for (let size = query[at]; size > 0; size = query[at]) {
    labels.push(query.toString("ascii", at + 1, at + 1 + size));
    at += 1 + size;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** @param {Buffer} query @param {{type: number, end: number}} question @param {number[] | null} ip null: there is no such name */
function answer(query, { type, end }, ip) {
  const record = ip !== null && type === TYPE_A ? addressRecord(ip) : Buffer.alloc(0);
  const flags = RESPONSE | RECURSION.available | (query.readUInt16BE(2) & RECURSION.desired) | (ip === null ? NAME_ERROR : 0);
  const header = Buffer.alloc(12);
  [query.readUInt16BE(0), flags, 1, record.length > 0 ? 1 : 0].forEach((word, at) => header.writeUInt16BE(word, 2 * at));
  return Buffer.concat([header, query.subarray(12, end), record]);
}

/** For the name in the question, for ten seconds. @param {number[]} ip */
function addressRecord(ip) {
  return Buffer.from([0xc0, 12, 0, TYPE_A, 0, CLASS_IN, 0, 0, 0, 10, 0, ip.length, ...ip]);
}
