// What node-redis sees. Prints one line of JSON, [name, what came], for each thing that it does.
//
//     node-redis.mjs NODE_MODULES URL PASSWORD

import { createHash, randomBytes } from 'node:crypto';

import { caught, ears, kind, library, operations, password, plain, play, tell, until, url } from './shared.mjs';

const { createClient, createClientPool, defineScript, RESP_TYPES, WatchError } = library('redis');

const BYTES = { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.VERBATIM_STRING]: Buffer, [RESP_TYPES.MAP]: Map, [RESP_TYPES.SET]: Set };

// One that does not hide a lost connection by connecting again.
async function client(protocol = 2, options = {}) {
  const made = createClient({
    url, password, RESP: protocol, unstableResp3: true, socket: { reconnectStrategy: false }, disableClientInfo: true, ...options,
  });
  made.on('error', () => {});
  return made.connect();
}

async function using(protocol, count, act) {
  const clients = await Promise.all(Array.from({ length: count }, () => client(protocol)));
  try {
    await act(...clients);
  } finally {
    for (const one of clients) if (one.isOpen) one.destroy();
  }
}

// Whether a client of the server waits in that command: asked, so that nobody has to guess.
async function waits(asked, command) {
  return (await asked.clientList()).some((one) => one.cmd === command && one.flags.includes('b'));
}

async function everyOperation(protocol) {
  const r = (await client(protocol)).withTypeMapping(BYTES);
  for (const { line, words, varies } of operations()) {
    const reply = await caught(() => r.sendCommand(words));
    tell(`RESP${protocol} ${line}`, varies ? kind(reply) : reply);
  }
  r.destroy();
}

async function pipelines(protocol) {
  await using(protocol, 1, async (r) => {
    tell('one tick, one pipeline', await Promise.allSettled([r.set('p', 'x'), r.incr('p'), r.get('p'), r.lPush('p', '1'), r.hSet('ph', { a: '1' }), r.hGetAll('ph')])
      .then((all) => all.map((one) => one.value ?? one.reason)));
    tell('a pipeline', await caught(() => r.multi().set('p', 'y').incr('p').get('p').execAsPipeline()));
    tell('a transaction', await caught(() => r.multi().set('p', 'z').incr('p').get('p').exec()));
    tell('a transaction that does not compile', await caught(() => r.multi().set('p', '1').addCommand(['NOSUCH']).exec()));
    tell('nothing of it was done', await r.get('p'));
    const long = await Promise.all(Array.from({ length: 10_000 }, (_, number) => r.rPush('long', String(number))));
    tell('10 000 in a pipeline', createHash('sha256').update(long.join()).digest('hex'));
    const transaction = r.multi();
    for (let number = 0; number < 10_000; number += 1) transaction.lIndex('long', number);
    tell('10 000 in a transaction', createHash('sha256').update((await transaction.exec()).join()).digest('hex'));
  });
}

async function transactions(protocol) {
  await using(protocol, 2, async (r, other) => {
    await r.set('balance', '100');
    await r.watch('balance');
    await other.set('balance', '50');
    const refused = await caught(() => r.multi().set('balance', '0').exec());
    tell('EXEC after a conflict', [refused instanceof WatchError, await r.get('balance')]);
    await r.watch('balance');
    tell('EXEC without a conflict', [await r.get('balance'), await r.multi().decrBy('balance', 10).exec()]);
    await r.watch('balance');
    await other.incr('balance');
    await r.unwatch();
    tell('EXEC after UNWATCH', await r.multi().get('balance').exec());
  });
}

async function blocking(protocol) {
  await using(protocol, 2, async (r, other) => {
    tell('BLPOP in vain', await r.blPop(['q', 'q2'], 0.05));
    tell('BZPOPMIN in vain', await r.bzPopMin('zq', 0.05));
    tell('XREAD in vain', await r.xRead({ key: 'xq', id: '$' }, { BLOCK: 50 }));
    const served = [
      ['blpop', () => r.blPop(['q', 'q2'], 20), () => other.rPush('q2', ['a', 'b'])],
      ['brpop', () => r.brPop('q3', 0), () => other.rPush('q3', ['a', 'b'])],
      ['blmove', () => r.blMove('q4', 'q5', 'LEFT', 'RIGHT', 20), () => other.rPush('q4', 'a')],
      ['bzpopmax', () => r.bzPopMax('zq', 20), () => other.zAdd('zq', { value: 'm', score: 1.5 })],
      ['xread', () => r.xRead({ key: 'xq', id: '$' }, { BLOCK: 20_000 }), () => other.xAdd('xq', '5-5', { f: 'v' })],
    ];
    for (const [command, act, then] of served) {
      const popped = caught(act);
      await until(`${command} waits`, () => waits(other, command));
      await then();
      tell(`${command} is served`, await popped);
    }
    // Commands behind a blocking one wait for it, on the same connection.
    const order = [];
    const popped = r.blPop('q6', 20).then(() => order.push('popped'));
    const echoed = r.echo('behind it').then(() => order.push('echoed'));
    await until('blpop waits', () => waits(other, 'blpop'));
    await other.rPush('q6', 'x');
    await Promise.all([popped, echoed]);
    tell('in order', order);
  });
}

async function messages(protocol) {
  await using(protocol, 2, async (listener, publisher) => {
    const { hear, next } = ears();
    await listener.subscribe(['news', 'weather'], hear, true);
    await listener.pSubscribe('n?ws', hear, true);
    tell('who listens', [(await publisher.pubSubChannels()).sort(), await publisher.pubSubNumPat()]);
    tell('published', await publisher.publish('news', Buffer.from([0, 255, 13, 10])));
    tell('heard twice', [plain(await next()), plain(await next())].sort());
    tell('a command while subscribed', await caught(() => listener.ping()));
    await listener.unsubscribe('news', hear, true);
    await publisher.publish('news', 'second');
    tell('heard by the pattern', await next());
    await listener.pUnsubscribe();
    await listener.unsubscribe();
    tell('commands again', await caught(() => listener.set('after', 'subscriptions')));
    await listener.subscribe('again', hear);
    await publisher.publish('again', 'm'.repeat(1_000_000));
    tell('a megabyte of news', (await next())[0].length);
    const sent = Array.from({ length: 5000 }, (_, number) => String(number));
    await Promise.all(sent.map((one) => publisher.publish('again', one)));
    const got = [];
    for (const _ of sent) got.push((await next())[0]);
    tell('5000 in order', got.join() === sent.join());
    await listener.sSubscribe('shard', hear);
    tell('published to a shard', await publisher.sPublish('shard', 'hello'));
    tell('heard from it', await next());
  });
}

async function scripts(protocol) {
  const twice = defineScript({
    SCRIPT: 'return ARGV[1] * 2', NUMBER_OF_KEYS: 0,
    parseCommand: (parser, number) => parser.push(String(number)), transformReply: (reply) => reply,
  });
  const r = await client(protocol, { scripts: { twice } });
  await r.scriptFlush();
  tell('a script that the server does not know', [await r.twice(21), await r.twice(4)]);
  tell('a library', [
    await r.functionLoad("#!lua name=mine\nredis.register_function{function_name='add', callback=function(k, a) return a[1] + a[2] end, flags={'no-writes'}}", { REPLACE: true }),
    await r.fCall('add', { arguments: ['2', '3'] }), await r.fCallRo('add', { arguments: ['2', '3'] }),
  ]);
  r.destroy();
}

async function scans(protocol) {
  await using(protocol, 1, async (r) => {
    await r.mSet(Array.from({ length: 5000 }, (_, number) => [`scanned:${number}`, 'x']));
    const keys = new Set();
    for await (const some of r.scanIterator({ MATCH: 'scanned:*', COUNT: 100 })) for (const key of [some].flat()) keys.add(key);
    tell('SCAN', keys.size);
  });
}

async function large(protocol) {
  await using(protocol, 1, async (plainClient) => {
    const r = plainClient.withTypeMapping(BYTES);
    for (const size of [1 << 20, 64 << 20]) {
      const value = randomBytes(size);
      tell(`${size} bytes`, [await r.set('large', value), value.equals(await r.get('large'))]);
    }
  });
}

async function users(protocol) {
  await using(protocol, 1, (r) => r.set('open:a', 'readable'));
  for (const [name, options] of [
    ['no password', { password: undefined }],
    ['a wrong password', { password: 'wrong' }],
    ['no such user', { username: 'nobody' }],
  ]) {
    tell(name, await caught(async () => {
      const r = await client(protocol, options);
      try {
        return await r.get('open:a');
      } finally {
        r.destroy();
      }
    }));
  }
  const reader = await client(protocol, { username: 'reader', password: 'readers-word' });
  tell('a reader reads', await reader.get('open:a'));
  tell('a reader writes', await caught(() => reader.set('open:a', 'changed')));
  tell('a reader writes in a transaction', await caught(() => reader.multi().set('open:a', '1').exec()));
  reader.destroy();
}

async function pools(protocol) {
  const pool = createClientPool({ url, password, RESP: protocol }, { minimum: 1, maximum: 40, acquireTimeout: 30_000 });
  await pool.connect();
  await pool.del('count');
  const replies = await Promise.all(Array.from({ length: 4000 }, () => pool.incr('count')));
  tell('each got a number of its own', new Set(replies).size === 4000 && Math.max(...replies) === 4000);
  pool.destroy();
}

async function sessions(protocol) {
  const r = await client(protocol, { name: 'me', database: 3 });
  tell('name', [await r.clientGetName(), (await r.clientInfo()).db]);
  await r.select(4);
  await r.set('where', 'four');
  await r.select(3);
  tell('database', await r.get('where'));
  tell('closed in peace', await caught(async () => { await r.close(); return r.isOpen; }));
}

async function caching(protocol) {
  if (protocol !== 3) return;
  const r = await client(3, { clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: 'LRU' } });
  await using(2, 1, async (other) => {
    await other.set('cached', 'old');
    tell('first read', [await r.get('cached'), await r.get('cached')]);
    await other.set('cached', 'new');
    await until('the new value', async () => (await r.get('cached')) === 'new');
    tell('after an invalidation', await r.get('cached'));
  });
  r.destroy();
}

await play(
  [everyOperation, pipelines, transactions, blocking, messages, scripts, scans, large, users, pools, sessions, caching],
  () => using(2, 1, async (r) => { await r.flushAll(); await r.functionFlush(); }),
);
process.exit(0);
