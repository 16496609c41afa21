//! What the function has told the environment: who is registered, what errors were reported, and how
//! often which question was asked.

/// An extension that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisteredExtension {
    /// Its name.
    pub name: String,
    /// The events that it registered for.
    pub events: Vec<String>,
    /// How often it has asked for its next event.
    pub asked: u64,
    /// Whether it is asking now: its last question has not been answered.
    pub is_asking: bool,
}

/// An error that was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Where.
    pub kind: ReportKind,
    /// By which extension, if by one.
    pub extension: Option<String>,
    /// Its type, as the header says.
    pub error_type: String,
    /// The body.
    pub body: String,
    /// Whether the report was refused, as one to `/init/error` after init is.
    pub refused: bool,
}

/// Where an error was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// `/runtime/init/error`.
    RuntimeInit,
    /// `/runtime/restore/error`.
    RuntimeRestore,
    /// `/extension/init/error`.
    ExtensionInit,
    /// `/extension/exit/error`.
    ExtensionExit,
}

/// What has happened in an environment so far, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LambdaCounts {
    /// How often the runtime asked for an invocation.
    pub runtime_asked: u64,
    /// How often extensions asked for an event.
    pub extensions_asked: u64,
    /// How many registrations, reports and questions were refused by the rules.
    pub refused: u64,
    /// How many invocations began.
    pub invocations: u64,
    /// How often the environment was frozen.
    pub freezes: u64,
}
