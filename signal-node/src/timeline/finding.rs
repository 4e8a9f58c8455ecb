//! What a timeline means, in words. Pure: the lines are all that it looks at.

use std::collections::HashMap;

use serde::Serialize;
use signal_protocol::PeerId;
use utoipa::ToSchema;

use super::attempt::Attempt;
use super::event::Line;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It kept a connection from coming about, or ended it.
    Problem,
    /// It explains something and did no harm that is known.
    Note,
}

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The name of the rule that has found it.
    #[schema(example = "relay_credential_expired")]
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// When, in milliseconds since 1970.
    #[schema(example = 1_795_366_362_000_u64)]
    pub at: u64,
    /// The member that it is about.
    #[schema(value_type = String, example = "p_u1BMnQ3PWsFKcSzG2oqhFg")]
    pub peer: PeerId,
    /// The member at the other end, if it is about a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub about: Option<PeerId>,
    /// What happened.
    #[schema(
        example = "ana got no relay candidate: relay turn.example.org:3478 answered 401, 12 s after the credential had expired."
    )]
    pub text: String,
    /// What to do.
    pub todo: String,
}

/// What a rule says of a case.
pub(super) struct Verdict {
    pub(super) severity: Severity,
    /// When; the begin of the attempt, if absent.
    pub(super) at: Option<u64>,
    pub(super) text: String,
    pub(super) todo: &'static str,
}

impl Verdict {
    pub(super) fn problem(text: String, todo: &'static str) -> Self {
        Self { severity: Severity::Problem, at: None, text, todo }
    }

    pub(super) fn note(text: String, todo: &'static str) -> Self {
        Self { severity: Severity::Note, at: None, text, todo }
    }

    /// Says when.
    pub(super) fn at(self, at: u64) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// An attempt with everything that a rule may look at.
pub(super) struct Case<'a> {
    /// What one side reports.
    pub(super) mine: &'a Attempt<'a>,
    /// What the other side reports of the same time, if it does.
    pub(super) theirs: Option<&'a Attempt<'a>>,
    pub(super) lines: &'a [Line],
    pub(super) names: &'a HashMap<&'a PeerId, &'a str>,
}

impl Case<'_> {
    /// Returns what people call a member: the subject of its token, or its id.
    pub(super) fn name<'n>(&'n self, peer: &'n PeerId) -> &'n str {
        self.names.get(peer).copied().unwrap_or(peer.as_str())
    }

    /// Returns what people call the side that reports.
    pub(super) fn me(&self) -> &str {
        self.name(self.mine.peer)
    }

    /// Returns what people call the other side.
    pub(super) fn them(&self) -> &str {
        self.name(self.mine.about)
    }
}
