//! The commands of a server, as it tells them itself (`COMMAND DOCS`).

use std::collections::BTreeMap;

use redis::Value;

/// A command, or a sub-command of a container.
#[derive(Debug)]
pub(crate) struct Command {
    /// `SET`, or `CLIENT|SETNAME`.
    pub(crate) name: String,
    /// `string`, `list`, `sorted-set` …
    pub(crate) group: String,
    pub(crate) arguments: Vec<Argument>,
}

/// What stands at one place behind the name.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The word before it, or the word that it is.
    pub(crate) token: Option<String>,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    /// Each of several has the token before it.
    pub(crate) multiple_token: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Key,
    Text,
    Integer,
    Double,
    Time,
    /// Nothing but its token.
    Token,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

/// Every command of this server, by name: a server tells them in another order each time.
pub(crate) fn all(connection: &mut redis::Connection) -> Vec<Command> {
    let docs: Value = redis::cmd("COMMAND").arg("DOCS").query(connection).expect("a server since 7.0");
    let mut commands = Vec::new();
    for (name, about) in pairs(&docs) {
        tell(&name, &about, &mut commands);
    }
    commands
}

fn tell(name: &str, about: &Value, commands: &mut Vec<Command>) {
    let about = pairs(about);
    let members = about.get("subcommands").map(pairs).unwrap_or_default();
    // COMMAND is a container and a command as well.
    if members.is_empty() || name == "command" {
        let group = about.get("group").map(text).expect("each has a group");
        let arguments = about.get("arguments").map(arguments).unwrap_or_default();
        commands.push(Command { name: name.to_ascii_uppercase(), group, arguments });
    }
    for (name, about) in members {
        tell(&name, &about, commands);
    }
}

fn arguments(list: &Value) -> Vec<Argument> {
    let Value::Array(list) = list else { panic!("arguments are a list, not {list:?}") };
    list.iter().map(argument).collect()
}

fn argument(about: &Value) -> Argument {
    let about = pairs(about);
    let of = |key: &str| about.get(key).map(text);
    let flags = match about.get("flags") {
        Some(Value::Array(flags)) => flags.iter().map(text).collect(),
        _ => Vec::new(),
    };
    let has = |flag: &str| flags.iter().any(|set| set == flag);
    let parts = || about.get("arguments").map(arguments).unwrap_or_default();
    let kind = match of("type").expect("each has a type").as_str() {
        "key" => Kind::Key,
        "integer" => Kind::Integer,
        "double" => Kind::Double,
        "unix-time" => Kind::Time,
        "pure-token" => Kind::Token,
        "oneof" => Kind::OneOf(parts()),
        "block" => Kind::Block(parts()),
        _ => Kind::Text,
    };
    Argument {
        name: of("name").expect("each has a name"),
        kind,
        token: of("token"),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
    }
}

/// A map as RESP2 writes it.
fn pairs(value: &Value) -> BTreeMap<String, Value> {
    let Value::Array(flat) = value else { panic!("a map is a list, not {value:?}") };
    flat.chunks_exact(2).map(|pair| (text(&pair[0]), pair[1].clone())).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        other => panic!("a word, not {other:?}"),
    }
}
