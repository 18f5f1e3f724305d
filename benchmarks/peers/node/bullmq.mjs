// BullMQ on Node: `node bullmq.mjs work`, or `node bullmq.mjs fill|many|singly|timed JOBS`.
// The counterpart of ../adding.py and ../tally.py: the same ways, the same file of counts.

import { openSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { createRequire } from "node:module";

// The packages lie where `make bench-peers` put them, not beside this file.
const { Queue, Worker } = createRequire(`${process.env.PEERS_FOLDER}/`)("bullmq");

const QUEUE = "peers";
const PAYLOAD = "x".repeat(48);
const SLOTS = 100;
const SAMPLES = 3; // the first cell of samples, after how many ran, the first and the last
const SAMPLES_MAX = 4096;
const WRITE_EVERY_MS = 5;
const PAUSE_MS = [5, 15];
const BULK_JOBS = 1000; // of one addBulk
const removed = { removeOnComplete: true };

const address = new URL(process.env.PEERS_URL);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };

function now() {
  return process.hrtime.bigint();
}

async function work() {
  const cells = new BigInt64Array(SAMPLES + SAMPLES_MAX);
  const file = openSync(process.env.PEERS_TALLY, "r+");
  let written = 0n;
  setInterval(() => {
    if (written !== cells[0]) {
      written = cells[0];
      writeSync(file, new Uint8Array(cells.buffer), 0, cells.byteLength, 0);
    }
  }, WRITE_EVERY_MS);
  const worker = new Worker(
    QUEUE,
    async (job) => {
      const at = now();
      if (job.name === "since" && cells[0] < SAMPLES_MAX) {
        cells[SAMPLES + Number(cells[0])] = at - BigInt(job.data);
      }
      if (cells[1] === 0n) cells[1] = at;
      cells[2] = at;
      cells[0] += 1n;
    },
    { connection, concurrency: SLOTS },
  );
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
}

const ways = {
  async many(queue, jobs) {
    for (let first = 0; first < jobs; first += BULK_JOBS) {
      const some = Math.min(BULK_JOBS, jobs - first);
      await queue.addBulk(
        Array.from({ length: some }, () => ({ name: "nothing", data: PAYLOAD, opts: removed })),
      );
    }
  },
  async singly(queue, jobs) {
    for (let job = 0; job < jobs; job++) await queue.add("nothing", PAYLOAD, removed);
  },
  async timed(queue, jobs) {
    for (let job = 0; job < jobs; job++) {
      await pause(PAUSE_MS[0] + Math.random() * (PAUSE_MS[1] - PAUSE_MS[0]));
      await queue.add("since", String(now()), removed);
    }
  },
};
ways.fill = ways.many;

const [way, jobs] = process.argv.slice(2);
if (way === "work") {
  await work();
} else {
  const queue = new Queue(QUEUE, { connection });
  await queue.waitUntilReady();
  const began = now();
  await ways[way](queue, Number(jobs));
  console.log(Number(now() - began) / 1e9);
  await queue.close();
}
