//! Every phase and every event: the tables in `docs/lambda.md` are what the code does.

use std::fmt::Write as _;

use super::*;

const NOW: Stamp = Stamp { monotonic: 1_000_000_000, wall: 5_000_000_000 };
const LIMIT: Duration = Duration::from_millis(250);
const EXTENSION: Reply = 1;
const RUNTIME: Reply = 2;
const NEW: Reply = 3;

fn invocation(request_id: &str) -> Invocation {
    Invocation::new(request_id.to_owned(), NOW.later_by(Duration::from_secs(3)).wall)
}

/// Every phase, with what tells those of one name apart.
fn phases() -> Vec<(&'static str, Phase)> {
    let (it, until) = (|| invocation("this"), NOW.monotonic);
    let ending = |holder| Phase::Ending { invocation: it(), holder, until };
    let cancelling = |holder| Phase::Cancelling { invocation: it(), holder };
    vec![
        ("Free", Phase::Free(Open::None)),
        ("Free, the handler is over", Phase::Free(Open::ForInvoke(it()))),
        ("Free, the extension has gone on", Phase::Free(Open::ForHandler(it()))),
        ("Free, the handler does not tell", Phase::Free(Open::Unheard(it()))),
        ("Invoked", Phase::Invoked { invocation: it(), extension: EXTENSION, until }),
        ("ForReaders", Phase::ForReaders { invocation: it(), extension: EXTENSION }),
        ("Handler", Phase::Handler { invocation: it() }),
        ("HandlerAlone", Phase::HandlerAlone { invocation: it() }),
        ("Both", Phase::Both { invocation: it(), extension: EXTENSION }),
        ("Ending, the extension holds", ending(Holder::Extension(EXTENSION))),
        ("Ending, the runtime holds", ending(Holder::Runtime(RUNTIME))),
        ("Cancelling, the extension holds", cancelling(Holder::Extension(EXTENSION))),
        ("Cancelling, the runtime holds", cancelling(Holder::Runtime(RUNTIME))),
        ("Cancelling, INVOKE has not come", cancelling(Holder::RuntimeAlone(RUNTIME))),
        ("NeverFreezes", Phase::NeverFreezes),
        ("Suspending", Phase::Suspending(RUNTIME)),
        ("Suspended", Phase::Suspended),
        ("Restoring", Phase::Restoring(RUNTIME)),
    ]
}

fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::NeverFreezes => "NeverFreezes",
        Phase::Free(_) => "Free",
        Phase::Invoked { .. } => "Invoked",
        Phase::ForReaders { .. } => "ForReaders",
        Phase::Handler { .. } => "Handler",
        Phase::HandlerAlone { .. } => "HandlerAlone",
        Phase::Both { .. } => "Both",
        Phase::Ending { .. } => "Ending",
        Phase::Cancelling { .. } => "Cancelling",
        Phase::Suspending(_) => "Suspending",
        Phase::Suspended => "Suspended",
        Phase::Restoring(_) => "Restoring",
    }
}

fn life(phase: Phase) -> Life {
    let freezes = phase != Phase::NeverFreezes;
    Life { phase, freezes, hold_limit: LIMIT, handlers_tell: true }
}

/// What a step is called in the tables. Closing is not: it is what a new invocation does to an old one.
fn step(step: &Step) -> Option<&'static str> {
    Some(match step {
        Step::Close(_) => return None,
        Step::Thaw => "thaw",
        Step::Answer(EXTENSION) => "answer the extension",
        Step::Answer(RUNTIME) => "answer the runtime",
        Step::Answer(_) => "answer",
        Step::Due => "refresh",
        Step::CancelUnwanted => "cancel what nobody waits for",
        Step::CancelPaused => "cancel what was paused",
        Step::CancelAll => "cancel all",
        Step::Clear => "drop all values",
        Step::Reset => "reset sources",
        Step::Reload => "fetch all",
    })
}

/// One cell of a table: what is done, and the next phase.
fn cell(phase: &Phase, word: Word) -> String {
    let mut life = life(phase.clone());
    let steps = life.on(word, NOW);
    let mut parts: Vec<&str> = steps.iter().filter_map(step).collect();
    let next = format!("**{}**", name(&life.phase));
    if life.phase != *phase {
        parts.push(&next);
    }
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

type Column = (&'static str, fn() -> Word);

fn table(columns: &[Column]) -> String {
    let mut table = String::from("| in |");
    for (heading, _) in columns {
        _ = write!(table, " {heading} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    for (heading, phase) in phases() {
        _ = write!(table, "\n| {heading} |");
        for (_, word) in columns {
            _ = write!(table, " {} |", cell(&phase, word()));
        }
    }
    table
}

#[test]
fn the_tables_in_the_documentation_are_what_the_code_does() {
    let this: [Column; 3] = [
        ("handler began", || Word::HandlerBegan(invocation("this"))),
        ("response sent", || Word::ResponseSent("this".to_owned(), NEW)),
        ("INVOKE", || Word::Invoke(invocation("this"), NEW)),
    ];
    let other: [Column; 3] = [
        ("handler began", || Word::HandlerBegan(invocation("other"))),
        ("response sent", || Word::ResponseSent("other".to_owned(), NEW)),
        ("INVOKE", || Word::Invoke(invocation("other"), NEW)),
    ];
    let time: [Column; 3] = [
        ("hold limit reached", || Word::HoldOver),
        ("nothing in flight", || Word::Still { more: false }),
        ("the same, and more may fall due", || Word::Still { more: true }),
    ];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lambda.md");
    let page = std::fs::read_to_string(path).expect("the page");
    for columns in [this, other, time] {
        let table = table(&columns);
        assert!(page.contains(&table), "docs/lambda.md lacks this table:\n\n{table}\n");
    }
}

#[test]
fn a_snapshot_drops_everything_and_a_restore_fetches_it_whatever_goes_on() {
    for (heading, phase) in phases() {
        let holder = [EXTENSION, RUNTIME].map(Step::Answer);
        let rest = life(phase.clone()).rest();
        let before = cell(&phase, Word::Suspend(NEW));
        assert!(before.contains("thaw, cancel all, drop all values"), "{heading}: {before}");
        let mut life = life(phase.clone());
        let steps = life.on(Word::Suspend(NEW), NOW);
        let answered = steps.iter().filter(|step| holder.contains(step)).count();
        let holds = !matches!(
            phase,
            Phase::Free(_)
                | Phase::Handler { .. }
                | Phase::HandlerAlone { .. }
                | Phase::NeverFreezes
                | Phase::Suspended
        );
        assert_eq!(answered, usize::from(holds), "{heading}: nobody waits in vain");
        assert_eq!(life.phase, Phase::Suspending(NEW));
        assert_eq!(life.on(Word::Still { more: true }, NOW), [Step::Answer(NEW)]);
        assert_eq!(life.phase, Phase::Suspended);
        assert_eq!(life.on(Word::Restored(NEW), NOW), [Step::Thaw, Step::Reset]);
        assert_eq!(life.phase, Phase::Restoring(NEW));
        assert_eq!(life.on(Word::Reset, NOW), [Step::Answer(NEW), Step::Reload]);
        assert_eq!(life.phase, rest, "{heading}");
        // A restore without a snapshot leaves nobody waiting either.
        let restored = cell(&phase, Word::Restored(NEW));
        assert!(restored.contains("reset sources"), "{heading}: {restored}");
        assert_eq!(restored.contains("answer"), holds, "{heading}: {restored}");
    }
}

#[test]
fn a_handler_that_does_not_tell_is_closed_when_the_extension_goes_on() {
    let mut life = Life::new(true, LIMIT);
    life.on(Word::Invoke(invocation("this"), EXTENSION), NOW);
    assert_eq!(life.phase.hold_end(), Some(NOW.later_by(LIMIT).monotonic));
    let steps = life.on(Word::Still { more: true }, NOW);
    assert_eq!(steps, [Step::Answer(EXTENSION), Step::Close(invocation("this"))]);
    assert_eq!(life.phase, Phase::Free(Open::Unheard(invocation("this"))));
}

#[test]
fn what_invoke_begins_has_time_until_a_handler_that_tells_has_begun() {
    for limit in [Duration::ZERO, LIMIT * 4] {
        let mut life = Life::new(true, limit);
        life.on(Word::HandlersTell, NOW);
        life.on(Word::Invoke(invocation("this"), EXTENSION), NOW);
        assert_eq!(life.phase.hold_end(), Some(NOW.later_by(limit.max(HANDLER_WAIT)).monotonic));
    }
}

#[test]
fn no_hold_lasts_until_the_deadline() {
    let mut life = Life::new(true, Duration::from_secs(10));
    life.on(Word::HandlerBegan(invocation("this")), NOW);
    life.on(Word::Invoke(invocation("this"), EXTENSION), NOW);
    life.on(Word::ResponseSent("this".to_owned(), RUNTIME), NOW);
    let end = NOW.later_by(Duration::from_secs(3) - RESERVE).monotonic;
    assert_eq!(life.phase.hold_end(), Some(end));
    // A deadline that is over says nothing.
    let mut late = invocation("late");
    late.deadline = NOW.wall;
    life.on(Word::Invoke(late, EXTENSION), NOW);
    assert_eq!(life.phase.hold_end(), Some(NOW.later_by(Duration::from_secs(10)).monotonic));
}

#[test]
fn a_hold_is_not_over_before_its_end() {
    for (_, phase) in phases() {
        let mut life = life(phase.clone());
        let steps = life.on(Word::HoldOver, NOW.earlier_by(Duration::from_nanos(1)));
        assert_eq!((steps, life.phase), (vec![], phase));
    }
}

#[test]
fn an_invocation_is_closed_once() {
    for (heading, phase) in phases() {
        let mut life = life(phase);
        let ends = [
            Word::HandlerBegan(invocation("other")),
            Word::Invoke(invocation("other"), NEW),
            Word::ResponseSent("other".to_owned(), NEW),
            Word::HoldOver,
            Word::Still { more: false },
            Word::Suspend(NEW),
            Word::Still { more: false },
            Word::Restored(NEW),
            Word::Reset,
        ];
        let steps: Vec<Step> =
            ends.into_iter().flat_map(|word| life.on(word, NOW.later_by(LIMIT))).collect();
        let closed = |id: &str| {
            let closes = |step: &&Step| matches!(step, Step::Close(it) if it.request_id == id);
            steps.iter().filter(closes).count()
        };
        assert!(closed("this") <= 1 && closed("other") <= 1, "{heading}: {steps:?}");
        assert_eq!(life.phase, life.rest(), "{heading}");
    }
}
