//! Commands with arguments, as chance and `COMMAND DOCS` have it.

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use crate::commands::{Argument, Command, Kind};
use crate::{unlike, words};

/// The words of one request, the command's name first.
pub(crate) type Words = Vec<Vec<u8>>;

/// What all clients draw from.
pub(crate) struct Grammar {
    commands: Vec<Command>,
}

/// What the others must not notice of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nobody else is there: what touches everybody's keys may be sent too.
    Alone,
    Among,
    /// Among others, while the primary role moves.
    Moving,
}

impl Scope {
    fn allows(self, name: &str) -> bool {
        match self {
            Self::Alone => true,
            Self::Among => !unlike::lists(unlike::OF_ALL, name),
            Self::Moving => Self::Among.allows(name) && !unlike::lists(unlike::OF_A_SERVER, name),
        }
    }
}

/// Who draws: its stem begins the name of all that it makes, so that nobody else's commands change what it sees. It is another one in
/// each round, because the sidecar knows scripts of earlier rounds, which the servers have forgotten.
pub(crate) struct Speaker<'a> {
    pub(crate) grammar: &'a Grammar,
    pub(crate) stem: String,
    pub(crate) scope: Scope,
    pub(crate) rng: SmallRng,
    /// Keys of the present request since their number, or the beginning of a block.
    keys: usize,
    /// Where their number belongs.
    count_at: Option<usize>,
}

impl Grammar {
    pub(crate) fn new(commands: Vec<Command>) -> Self {
        Self { commands: commands.into_iter().filter(|command| !unlike::left_out(&command.name)).collect() }
    }

    pub(crate) fn commands(&self) -> &[Command] {
        &self.commands
    }
}

/// What keys of a group of commands are called: mostly they hold what the group is for.
fn letters(group: &str) -> &'static str {
    match group {
        "string" => "s",
        "list" => "l",
        "hash" => "h",
        "set" => "e",
        "sorted-set" => "ze",
        "stream" => "x",
        "geo" => "g",
        "bitmap" => "bs",
        "hyperloglog" => "p",
        _ => "slhezxgbp",
    }
}

impl<'a> Speaker<'a> {
    pub(crate) fn new(grammar: &'a Grammar, stem: &str, scope: Scope, rng: SmallRng) -> Self {
        Self { grammar, stem: stem.to_owned(), scope, rng, keys: 0, count_at: None }
    }

    pub(crate) fn chance(&mut self, of_a_hundred: u32) -> bool {
        self.rng.random_ratio(of_a_hundred, 100)
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.rng).expect("something to choose from")
    }

    /// One of the words, with the stem in the place of `@`.
    pub(crate) fn word(&mut self, from: &str) -> Vec<u8> {
        let words: Vec<&str> = from.split_ascii_whitespace().collect();
        self.choose(&words).replace('@', &self.stem).into_bytes()
    }

    pub(crate) fn key(&mut self, letters: &str) -> Vec<u8> {
        let letters: Vec<char> = letters.chars().collect();
        let (letter, number) = (self.choose(&letters), self.rng.random_range(1..=3));
        format!("{}:{letter}{number}", self.stem).into_bytes()
    }

    /// Any command, mostly a valid one.
    pub(crate) fn command(&mut self) -> Words {
        let grammar = self.grammar;
        loop {
            let command = grammar.commands.choose(&mut self.rng).expect("a server has commands");
            let dull = matches!(command.group.as_str(), "cluster" | "server" | "connection" | "scripting");
            // There are many of them, and they are answered with a line.
            if (dull && self.chance(70)) || !self.scope.allows(&command.name) {
                continue;
            }
            let mut words = self.call(command);
            if self.chance(4) {
                self.spoil(command, &mut words);
            }
            return words;
        }
    }

    /// A call of `command`.
    pub(crate) fn call(&mut self, command: &Command) -> Words {
        let mut words: Words = command.name.split('|').map(|word| word.as_bytes().to_vec()).collect();
        (self.keys, self.count_at) = (0, None);
        for argument in &command.arguments {
            self.fill(command, argument, false, &mut words);
        }
        if let Some(at) = self.count_at {
            words[at] = self.keys.to_string().into_bytes();
        }
        if self.chance(10) {
            words[0] = words[0]
                .iter()
                .map(|byte| if self.chance(50) { byte.to_ascii_lowercase() } else { *byte })
                .collect();
        }
        words
    }

    fn fill(&mut self, command: &Command, argument: &Argument, streams: bool, words: &mut Words) {
        let name = argument.name.as_str();
        if argument.optional && (self.chance(60) || words::never(&command.name, name)) {
            return;
        }
        let repeats = match name {
            "weight" => self.keys,
            "id" if streams => self.keys,
            _ if argument.multiple => self.rng.random_range(1..=3),
            _ => 1,
        };
        for number in 0..repeats {
            if let Some(token) = &argument.token
                && (number == 0 || argument.multiple_token)
            {
                words.push(token.as_bytes().to_vec());
            }
            self.value(command, argument, words);
        }
    }

    fn value(&mut self, command: &Command, argument: &Argument, words: &mut Words) {
        let name = argument.name.as_str();
        match &argument.kind {
            Kind::Token => {}
            Kind::OneOf(parts) => {
                let parts: Vec<_> =
                    parts.iter().filter(|part| !words::never(&command.name, &part.name)).collect();
                let part = self.choose(&parts);
                self.fill(command, part, false, words);
            }
            Kind::Block(parts) => {
                if name == "streams" {
                    self.keys = 0;
                }
                for part in parts {
                    self.fill(command, part, name == "streams", words);
                }
            }
            Kind::Key => {
                self.keys += 1;
                let any = self.chance(5);
                let key = self.key(letters(if any { "" } else { &command.group }));
                words.push(key);
            }
            _ if name == "numkeys" => {
                self.keys = 0;
                self.count_at = Some(words.len());
                words.push(Vec::new());
            }
            kind => {
                let word = match (words::choices(&command.name, name), kind) {
                    (Some(from), _) => self.word(from),
                    (None, Kind::Integer) => self.word("0 0 1 1 2 3 -1 -2 100 9223372036854775807 x"),
                    (None, Kind::Double) => self.word("0 1 2.5 -3 x"),
                    (None, _) => self.text(name),
                };
                words.push(word);
            }
        }
    }

    /// Bytes of all kinds.
    fn text(&mut self, name: &str) -> Vec<u8> {
        match name {
            "script" => self.script(),
            "sha1" => self.sha(),
            "function-code" => words::LIBRARY.replace('@', &self.stem).into_bytes(),
            _ if self.chance(5) => {
                let length = self.rng.random_range(50..5000);
                (0..length).map(|_| self.rng.random()).collect()
            }
            _ => self
                .choose(&[
                    &b""[..],
                    b"a",
                    b"10",
                    b"-7",
                    b"3.25",
                    b"hello",
                    b"two words",
                    b"\r\n$5\r\n",
                    b"\0\xff\x80",
                    b"'\"",
                ])
                .to_vec(),
        }
    }

    fn script(&mut self) -> Vec<u8> {
        let body = self.choose(words::SCRIPTS);
        format!("--{}\n{body}", self.stem).into_bytes()
    }

    fn sha(&mut self) -> Vec<u8> {
        let script = self.script();
        sha1(&script)
    }

    /// Makes something wrong. What would be an element of a set stays a number (see `words.rs`), and what would be a key stays the
    /// client's own.
    fn spoil(&mut self, command: &Command, words: &mut Words) {
        let set = command.group == "set";
        let wrong = if set { b"77".to_vec() } else { self.word("@:wrong") };
        let name = 1 + usize::from(command.name.contains('|'));
        // A command that is not known pins its session.
        let first = if self.scope == Scope::Moving { name } else { 0 };
        match self.rng.random_range(0..3) {
            // Never a part of the name: COMMAND is a command by itself.
            0 if words.len() > name => drop(words.pop()),
            1 if !set && first < words.len() => {
                let at = self.rng.random_range(first..words.len());
                words[at] = wrong;
            }
            _ => words.push(wrong),
        }
    }
}

/// As scripts are named.
pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// A request as drivers write it.
pub(crate) fn multibulk(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
