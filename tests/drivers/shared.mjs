// What the drivers of Node have in common: the list of operations, replies in the few types of JSON, and patience.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, url, password] = process.argv.slice(2);
export { url, password };
// The library, from where the lane has installed it: it is not beside this file.
export const library = createRequire(`${modules}/`);

// Far above what anything here takes: reached only when it never comes.
export const PATIENCE = 30_000;

export function operations() {
  const lines = readFileSync(new URL('operations.txt', import.meta.url), 'utf8').split('\n');
  return lines.filter((line) => line && !line.startsWith('#')).map((line) => ({
    line,
    varies: line.startsWith('~ '),
    words: line.replace(/^~ /, '').match(/"(?:[^"\\]|\\.)*"|\S+/g)
      .map((word) => (word[0] === '"' ? Buffer.from(JSON.parse(word), 'latin1') : word)),
  }));
}

export function kind(reply) {
  return reply === null ? 'null' : (reply.constructor?.name ?? typeof reply);
}

export function plain(reply) {
  if (reply === undefined) return { undefined: true };
  if (reply === null || typeof reply === 'boolean' || typeof reply === 'string') return reply;
  if (typeof reply === 'number') return Number.isFinite(reply) ? reply : { number: String(reply) };
  if (typeof reply === 'bigint') return { bigint: String(reply) };
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (reply instanceof Error) {
    const errors = reply.replies?.filter?.((one) => one instanceof Error) ?? [];
    return { [reply.constructor.name]: reply.message, ...(errors.length ? { errors: errors.map(plain) } : {}) };
  }
  if (Array.isArray(reply)) return reply.map(plain);
  if (reply instanceof Map) return { map: [...reply].map(plain) };
  if (reply instanceof Set) return { set: [...reply].map(plain) };
  return { [kind(reply)]: Object.entries(reply).map(plain) };
}

export function tell(name, reply) {
  process.stdout.write(`${JSON.stringify([name, plain(reply)])}\n`);
}

// The result, or the error in its place.
export async function caught(act) {
  try {
    return await act();
  } catch (error) {
    return error;
  }
}

export async function until(what, condition) {
  const deadline = performance.now() + PATIENCE;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resume) => setTimeout(resume, 5));
  }
}

// A function that takes what comes, and one that waits for the next of it.
export function ears() {
  const heard = [];
  const waiting = [];
  return {
    hear: (...what) => (waiting.length ? waiting.shift()(what) : heard.push(what)),
    next: () => (heard.length ? heard.shift() : new Promise((resume, refuse) => {
      const timer = setTimeout(() => refuse(new Error('nothing heard')), PATIENCE);
      waiting.push((what) => { clearTimeout(timer); resume(what); });
    })),
  };
}

// Runs each scene, over RESP2 and RESP3, each from an empty store; one that breaks off does not end the others.
export async function play(scenes, empty) {
  for (const protocol of [2, 3]) {
    for (const scene of scenes) {
      await empty();
      try {
        await scene(protocol);
      } catch (error) {
        tell(`${scene.name} broke off`, error);
      }
    }
  }
}
