//! `vestibule sessions`: lists and ends sessions, also as `kubectl vestibule sessions`.
//!
//! It asks the admin port of one authsvc, which decides what the asker may do: see `reach` for how it
//! gets there. Tokens are never shown, and what is listed is printed without control characters.

mod api;
mod connection;
mod kubernetes;
mod reach;
mod table;

use std::io::{BufRead, Write};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use api::{Client, Filter, Listed};
use reach::ReachArguments;

/// How many sessions are shown before one is asked whether to end them.
const SHOWN_BEFORE_END: usize = 20;

/// The flags of `vestibule sessions`.
#[derive(Debug, Args)]
pub struct SessionsArguments {
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List sessions; without a filter all of them.
    List(ListArguments),
    /// End sessions, on all replicas. Shows them and asks first.
    End(EndArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,
    #[command(flatten)]
    reach: ReachArguments,
    /// List no more than this many; 0: all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct EndArguments {
    #[command(flatten)]
    filter: FilterArguments,
    #[command(flatten)]
    reach: ReachArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct OutputArguments {
    /// How to print
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Which sessions; several filters must all fit.
#[derive(Debug, Args)]
struct FilterArguments {
    /// Those of this policy; in the cluster the right to one namespace is enough then
    #[arg(long, value_name = "NAMESPACE/NAME")]
    policy: Option<String>,
    /// Those of this user: `sub` at the provider
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// Those from this provider
    #[arg(long, value_name = "ISSUER")]
    provider: Option<String>,
    /// Those that began longer ago than this, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = vestibule_policy::duration::parse)]
    older_than: Option<std::time::Duration>,
    /// This one, by its name as it is listed
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
}

impl From<FilterArguments> for Filter {
    fn from(arguments: FilterArguments) -> Self {
        Self {
            policy: arguments.policy,
            user: arguments.user,
            provider: arguments.provider,
            // A part of a second is not told apart there: rather one session less.
            older_than: arguments
                .older_than
                .map(|age| age.as_secs() + u64::from(age.subsec_nanos() > 0)),
            session: arguments.session,
        }
    }
}

/// It could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The flags do not fit together, or name what is not there.
    #[error("{0}")]
    Usage(String),
    /// authsvc cannot be reached.
    #[error("{0}")]
    Reach(String),
    /// authsvc refused, and says why.
    #[error("{0}")]
    Refused(String),
    /// Whoever was asked did not say yes.
    #[error("nothing was ended")]
    NotConfirmed,
    /// The terminal or pipe is gone.
    #[error("it cannot be printed: {0}")]
    Print(#[from] std::io::Error),
}

impl SessionsError {
    /// Whether it is wrong use of the command line.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }
}

/// Where questions and answers go.
pub struct Terminal<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Questions.
    pub questions: &'a mut dyn Write,
    /// Their answers.
    pub input: &'a mut dyn BufRead,
}

/// Runs one of the subcommands.
pub fn run(arguments: SessionsArguments, terminal: &mut Terminal<'_>) -> Result<(), SessionsError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SessionsError::Reach(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        match arguments.command {
            SessionsCommand::List(arguments) => list(arguments, terminal).await,
            SessionsCommand::End(arguments) => end(arguments, terminal).await,
        }
    })
}

async fn list(arguments: ListArguments, terminal: &mut Terminal<'_>) -> Result<(), SessionsError> {
    let mut client = Client::new(arguments.reach.connect().await?);
    let filter = arguments.filter.into();
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let listed = client.list(&filter, limit).await?;
    match arguments.output.output {
        Output::Table => write!(terminal.out, "{}", table::render(&listed.sessions))?,
        Output::Json => {
            let whole = json!({ "sessions": listed.sessions, "more": listed.more });
            print_json(terminal.out, &whole)?;
        }
    }
    if listed.more && arguments.output.output == Output::Table {
        writeln!(terminal.questions, "There are more: give a greater --limit.")?;
    }
    Ok(())
}

async fn end(arguments: EndArguments, terminal: &mut Terminal<'_>) -> Result<(), SessionsError> {
    let filter: Filter = arguments.filter.into();
    if filter.is_empty() {
        return Err(SessionsError::Usage(
            "name what to end: --session, --policy, --user, --provider or --older-than".to_owned(),
        ));
    }
    let mut client = Client::new(arguments.reach.connect().await?);
    if !arguments.yes {
        let listed = client.list(&filter, SHOWN_BEFORE_END).await?;
        if listed.sessions.is_empty() {
            return print_ended(&arguments.output, terminal, 0);
        }
        if !confirmed(&listed, terminal)? {
            return Err(SessionsError::NotConfirmed);
        }
    }
    let ended = client.end(&filter).await?;
    print_ended(&arguments.output, terminal, ended)
}

fn confirmed(listed: &Listed, terminal: &mut Terminal<'_>) -> Result<bool, SessionsError> {
    let count = listed.sessions.len();
    write!(terminal.questions, "{}", table::render(&listed.sessions))?;
    let these = match (listed.more, count) {
        (true, _) => format!("these {count} sessions and all others that fit"),
        (false, 1) => "this session".to_owned(),
        (false, _) => format!("these {count} sessions"),
    };
    write!(terminal.questions, "End {these}? [y/N] ")?;
    terminal.questions.flush()?;
    let mut answer = String::new();
    terminal.input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn print_ended(
    output: &OutputArguments,
    terminal: &mut Terminal<'_>,
    ended: usize,
) -> Result<(), SessionsError> {
    match output.output {
        Output::Table => {
            let sessions = if ended == 1 { "session" } else { "sessions" };
            writeln!(terminal.out, "{ended} {sessions} ended")?;
        }
        Output::Json => print_json(terminal.out, &json!({ "ended": ended }))?,
    }
    Ok(())
}

fn print_json(out: &mut dyn Write, value: &Value) -> Result<(), SessionsError> {
    // The alternate form is indented.
    Ok(writeln!(out, "{value:#}")?)
}

#[cfg(test)]
mod tests;
