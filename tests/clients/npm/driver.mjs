// Lets a test drive Letta's official TypeScript client: one JSON call a line on stdin, its answer as lines on stdout.
//
//   {"id": 1, "client": {"baseURL": ..., ...}, "call": ["agents", "schedule", "create"], "args": ["agent-1", {...}]}
//   -> {"id": 1, "value": ...}                     what it returned
//   -> {"id": 1, "event": ...} ... {"id": 1, "end": true}   of a stream, each event as soon as it is there
//   -> {"id": 1, "error": {"name": "NotFoundError", "status": 404, "message": "..."}}

import { createInterface } from 'node:readline';
import Letta from '@letta-ai/letta-client';

const clients = new Map();

function clientOf(options) {
  const name = JSON.stringify(options);
  if (!clients.has(name)) clients.set(name, new Letta(options));
  return clients.get(name);
}

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

async function carryOut({ id, client, call, args }) {
  const method = call.at(-1);
  const owner = call.slice(0, -1).reduce((at, name) => at[name], clientOf(client));
  try {
    const value = await owner[method](...args);
    if (value && typeof value[Symbol.asyncIterator] === 'function' && !('items' in value)) {
      for await (const event of value) say({ id, event });
      say({ id, end: true });
    } else {
      say({ id, value: value?.items ?? value });
    }
  } catch (error) {
    say({ id, error: { name: error.constructor.name, status: error.status ?? null, message: String(error.message) } });
  }
}

for await (const line of createInterface({ input: process.stdin })) await carryOut(JSON.parse(line));
