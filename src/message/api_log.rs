//! Calls as the table ApiLog keeps them.

/// One call. Texts are cut to what their columns take, secrets in them are `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRecord {
    /// When it began, local time, `YYYY-MM-DD HH:MM:SS`.
    pub began: Box<str>,
    /// As in log lines.
    pub address: Box<str>,
    /// `User-Agent`
    pub user_agent: Box<str>,
    /// The parameter `_app`.
    pub app: Box<str>,
    /// Its session's id: of the one that a plugin used, else as its cookie says; empty for none.
    pub session: Box<str>,
    /// Who was logged in in the session that a plugin used.
    pub user: Option<i64>,
    /// The action's name.
    pub action: Box<str>,
    /// How long it took, ms.
    pub took_ms: u64,
    /// 0, or the error's code.
    pub code: i64,
    /// Query and body.
    pub request: Box<str>,
    /// The response's body.
    pub answer: Box<str>,
    /// Of target and body.
    pub request_bytes: u64,
    /// Of the response's body.
    pub answer_bytes: u64,
    /// The parameter `_ver`.
    pub version: Box<str>,
    /// Of a batch.
    pub sub_calls: Vec<ApiSubRecord>,
}

/// One call of a batch, as the table ApiLog1 keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiSubRecord {
    /// The action's name.
    pub action: Box<str>,
    /// How long it took, ms.
    pub took_ms: u64,
    /// 0, or the error's code.
    pub code: i64,
    /// `get` and `post`.
    pub request: Box<str>,
    /// Its answer.
    pub answer: Box<str>,
}

impl ApiRecord {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.address,
            &self.user_agent,
            &self.app,
            &self.session,
            &self.action,
        ];
        let long = self.request.len() + self.answer.len() + self.version.len();
        let sub_calls = self.sub_calls.iter().map(ApiSubRecord::bytes);
        texts.map(|text| text.len()).iter().sum::<usize>()
            + long
            + sub_calls.sum::<usize>()
            + size_of::<Self>()
    }
}

impl ApiSubRecord {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.action.len() + self.request.len() + self.answer.len() + size_of::<Self>()
    }
}

/// What became of records.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiLogDone {
    /// How many there were.
    pub records: usize,
    /// All of them are in the database, or none, and why.
    pub outcome: Result<(), Box<str>>,
}
