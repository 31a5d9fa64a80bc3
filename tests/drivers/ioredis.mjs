// What ioredis sees. Prints one line of JSON, [name, what came], for each thing that it does.
//
//     ioredis.mjs NODE_MODULES URL PASSWORD

import { createHash, randomBytes } from 'node:crypto';

import { caught, ears, kind, library, operations, password, plain, play, tell, until, url } from './shared.mjs';

const { Redis } = library('ioredis');

// One that does not hide a lost connection by connecting again, or by trying a command again.
function client(protocol = 2, options = {}) {
  const made = new Redis(url, { password, protocol, retryStrategy: null, maxRetriesPerRequest: 0, disableClientInfo: true, ...options });
  made.on('error', () => {});
  return made;
}

async function using(protocol, count, act) {
  const clients = Array.from({ length: count }, () => client(protocol));
  try {
    await act(...clients);
  } finally {
    for (const one of clients) one.disconnect();
  }
}

// Whether a client of the server waits in that command: asked, so that nobody has to guess.
async function waits(asked, command) {
  return (await asked.client('LIST')).split('\n').some((one) => one.includes(`cmd=${command} `) && / flags=\w*b/.test(one));
}

async function everyOperation(protocol) {
  await using(protocol, 1, async (r) => {
    for (const { line, words, varies } of operations()) {
      const reply = await caught(() => r.callBuffer(...words));
      tell(`RESP${protocol} ${line}`, varies ? kind(reply) : reply);
    }
  });
}

async function pipelines(protocol) {
  await using(protocol, 1, async (r) => {
    tell('a pipeline', await r.pipeline().set('p', 'x').incr('p').get('p').lpush('p', 1).hset('ph', { a: 1 }).hgetall('ph').exec());
    tell('a transaction', await r.multi().set('p', 'y').incr('p').get('p').exec());
    tell('a transaction that is not one pipeline', await (async () => {
      await r.multi({ pipeline: false });
      const queued = [await r.set('p', 'z'), await r.get('p')];
      return [queued, await r.exec()];
    })());
    tell('a transaction that does not compile', await caught(() => r.multi().set('p', 1).call('NOSUCH').exec()));
    tell('nothing of it was done', await r.get('p'));
    const long = r.pipeline();
    for (let number = 0; number < 10_000; number += 1) long.rpush('long', number);
    tell('10 000 in a pipeline', createHash('sha256').update((await long.exec()).join()).digest('hex'));
    const transaction = r.multi();
    for (let number = 0; number < 10_000; number += 1) transaction.lindex('long', number);
    tell('10 000 in a transaction', createHash('sha256').update((await transaction.exec()).join()).digest('hex'));
  });
  const auto = client(protocol, { enableAutoPipelining: true });
  const got = await Promise.all(Array.from({ length: 2000 }, () => auto.incr('auto')));
  tell('pipelines by itself', got.every((one, at) => one === at + 1));
  auto.disconnect();
}

async function transactions(protocol) {
  await using(protocol, 2, async (r, other) => {
    await r.set('balance', 100);
    await r.watch('balance');
    await other.set('balance', 50);
    tell('EXEC after a conflict', [await r.multi().set('balance', 0).exec(), await r.get('balance')]);
    await r.watch('balance');
    tell('EXEC without a conflict', [await r.get('balance'), await r.multi().decrby('balance', 10).exec()]);
    await r.watch('balance');
    await other.incr('balance');
    await r.unwatch();
    tell('EXEC after UNWATCH', await r.multi().get('balance').exec());
  });
}

async function blocking(protocol) {
  await using(protocol, 2, async (r, other) => {
    tell('BLPOP in vain', await r.blpop('q', 'q2', 0.05));
    tell('BZPOPMIN in vain', await r.bzpopmin('zq', 0.05));
    tell('XREAD in vain', await r.xread('BLOCK', 50, 'STREAMS', 'xq', '$'));
    const served = [
      ['blpop', () => r.blpop('q', 'q2', 20), () => other.rpush('q2', 'a', 'b')],
      ['brpop', () => r.brpop('q3', 0), () => other.rpush('q3', 'a', 'b')],
      ['blmove', () => r.blmove('q4', 'q5', 'LEFT', 'RIGHT', 20), () => other.rpush('q4', 'a')],
      ['bzpopmax', () => r.bzpopmax('zq', 20), () => other.zadd('zq', 1.5, 'm')],
      ['xread', () => r.xread('BLOCK', 20_000, 'STREAMS', 'xq', '$'), () => other.xadd('xq', '5-5', 'f', 'v')],
    ];
    for (const [command, act, then] of served) {
      const popped = caught(act);
      await until(`${command} waits`, () => waits(other, command));
      await then();
      tell(`${command} is served`, await popped);
    }
    const order = [];
    const popped = r.blpop('q6', 20).then(() => order.push('popped'));
    const echoed = r.echo('behind it').then(() => order.push('echoed'));
    await until('blpop waits', () => waits(other, 'blpop'));
    await other.rpush('q6', 'x');
    await Promise.all([popped, echoed]);
    tell('in order', order);
  });
}

async function messages(protocol) {
  await using(protocol, 2, async (listener, publisher) => {
    const { hear, next } = ears();
    listener.on('messageBuffer', (...what) => hear('message', ...what));
    listener.on('pmessageBuffer', (...what) => hear('pmessage', ...what));
    listener.on('smessageBuffer', (...what) => hear('smessage', ...what));
    tell('subscribed', await listener.subscribe('news', 'weather'));
    tell('subscribed to patterns', await listener.psubscribe('n?ws', '*e*'));
    tell('who listens', [(await publisher.pubsub('CHANNELS')).sort(), await publisher.pubsub('NUMSUB', 'news', 'x'), await publisher.pubsub('NUMPAT')]);
    tell('published', await publisher.publish('news', Buffer.from([0, 255, 13, 10])));
    tell('heard thrice', [plain(await next()), plain(await next()), plain(await next())].map(String).sort());
    tell('a ping while subscribed', await caught(() => listener.ping('still there')));
    tell('a command while subscribed', await caught(() => listener.get('x')));
    tell('unsubscribed', [await listener.unsubscribe('news'), await listener.punsubscribe('n?ws', '*e*')]);
    tell('unsubscribed from the rest', await listener.unsubscribe('weather'));
    tell('commands again', await caught(() => listener.set('after', 'subscriptions')));
    await listener.subscribe('again');
    await publisher.publish('again', 'm'.repeat(1_000_000));
    tell('a megabyte of news', (await next())[2].length);
    const sent = Array.from({ length: 5000 }, (_, number) => String(number));
    await Promise.all(sent.map((one) => publisher.publish('again', one)));
    const got = [];
    for (const _ of sent) got.push(String((await next())[2]));
    tell('5000 in order', got.join() === sent.join());
    await listener.ssubscribe('shard');
    tell('published to a shard', await publisher.spublish('shard', 'hello'));
    tell('heard from it', await next());
  });
}

async function monitor(protocol) {
  await using(protocol, 2, async (r, other) => {
    const { hear, next } = ears();
    const watching = await r.monitor();
    watching.on('monitor', (time, words) => hear(words));
    await other.set('monitored', 'a value');
    let words;
    do [words] = await next(); while (!words.includes('monitored'));
    tell('MONITOR', words);
    watching.disconnect();
  });
}

async function scripts(protocol) {
  await using(protocol, 1, async (r) => {
    await r.script('FLUSH');
    r.defineCommand('twice', { numberOfKeys: 0, lua: 'return ARGV[1] * 2' });
    tell('a script that the server does not know', [await r.twice(21), await r.twice(4)]);
    await r.script('FLUSH');
    tell('in a pipeline', await r.pipeline().twice(1).twice(2).exec());
    tell('in a transaction', await r.multi().twice(1).twice(2).exec());
  });
}

async function scans(protocol) {
  await using(protocol, 1, async (r) => {
    await r.mset(new Map(Array.from({ length: 5000 }, (_, number) => [`scanned:${number}`, 'x'])));
    const keys = new Set();
    for await (const some of r.scanStream({ match: 'scanned:*', count: 100 })) for (const key of some) keys.add(key);
    tell('SCAN', keys.size);
  });
}

async function large(protocol) {
  await using(protocol, 1, async (r) => {
    for (const size of [1 << 20, 64 << 20]) {
      const value = randomBytes(size);
      tell(`${size} bytes`, [await r.set('large', value), value.equals(await r.getBuffer('large'))]);
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
    const r = client(protocol, options);
    tell(name, await caught(() => r.get('open:a')));
    r.disconnect();
  }
  const reader = client(protocol, { username: 'reader', password: 'readers-word', enableReadyCheck: false });
  tell('a reader reads', await reader.get('open:a'));
  tell('a reader writes', await caught(() => reader.set('open:a', 'changed')));
  tell('a reader writes in a transaction', await caught(() => reader.multi().set('open:a', '1').exec()));
  reader.disconnect();
}

async function many(protocol) {
  const clients = Array.from({ length: 100 }, () => client(protocol));
  const replies = await Promise.all(clients.flatMap((r) => Array.from({ length: 40 }, () => r.incr('count'))));
  tell('each got a number of its own', new Set(replies).size === 4000 && Math.max(...replies) === 4000);
  for (const r of clients) r.disconnect();
}

async function sessions(protocol) {
  const r = client(protocol, { connectionName: 'me', db: 3 });
  tell('name', await r.client('GETNAME'));
  await r.select(4);
  await r.set('where', 'four');
  await r.select(3);
  tell('database', [await r.get('where'), /db=3 /.test(await r.client('INFO'))]);
  tell('closed in peace', await r.quit());
}

await play(
  [everyOperation, pipelines, transactions, blocking, messages, monitor, scripts, scans, large, users, many, sessions],
  () => using(2, 1, async (r) => { await r.flushall(); await r.function('FLUSH'); }),
);
process.exit(0);
