//! Requests for files: from the disk by a worker, or from the pages in the binary at once.

use bytes::Bytes;

use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::message::{FileDone, FileJob, Job};
use crate::pages::{self, Page};
use crate::proto::etag;
use crate::proto::mime;
use crate::proto::request::{Head, Method};
use crate::state::calls::{Wait, Work};
use crate::state::connection::{HttpReply, Meta, Parked, ReplyAs};
use crate::state::respond::BARE_TYPE;
use crate::state::server::{Output, Server, live};

impl<S> Server<S> {
    pub(super) fn serve_file(
        &mut self,
        id: ConnId,
        head: &Head<'_, '_>,
        meta: Meta,
        path: &str,
        mime: &'static str,
    ) {
        if !matches!(head.method, Method::Get | Method::Head) {
            let text = "a file takes GET and HEAD";
            return self.refuse_with(id, 405, text, &[("Allow", "GET, HEAD")]);
        }
        let if_none_match = head
            .headers("if-none-match")
            .collect::<Vec<_>>()
            .join(&b", "[..]);
        if self.static_on_disk && !mime::is_hidden(path) {
            let job = FileJob {
                reply_to: id,
                path: path.to_owned(),
                if_none_match,
            };
            self.output(Output::Job(Job::File(Box::new(job))));
            let reply = HttpReply {
                meta,
                shape: Shape::default(),
                action: "".into(),
            };
            return self.park(id, Work::File, Wait::Job, ReplyAs::Http(Box::new(reply)));
        }
        let page = pages::find(path).filter(|_| !mime::is_hidden(path));
        let (status, bytes) = match page {
            None => (404, &b""[..]),
            Some(page) if etag::is_named(&if_none_match, page.etag()) => (304, &b""[..]),
            Some(page) => (200, page.bytes),
        };
        let done = FileDone {
            reply_to: id,
            status,
            mime,
            etag: page.map_or("", Page::etag).to_owned(),
            policy: page.map_or("", Page::policy),
            body: Bytes::from_static(bytes),
        };
        self.respond_file(&meta, &done);
    }

    /// Sends a folder's name without its slash on to the folder: relative links of a page there start from it. The
    /// address is relative too, as only the proxy in front knows the whole one.
    pub(super) fn redirect_to_folder(&mut self, id: ConnId, head: &Head<'_, '_>, meta: Meta) {
        let name = head.path.rsplit('/').next().unwrap_or_default();
        let mark = if head.query.is_empty() { "" } else { "?" };
        // With a dot before it, no name is taken for a scheme or a host.
        let place = ["./", name, "/", mark, head.query].concat();
        let headers = [("Location", &*place)];
        self.respond(id, &meta, 301, BARE_TYPE, true, &headers, b"");
    }

    /// A worker read a file, or found none.
    pub(super) fn handle_file_done(&mut self, done: &FileDone) {
        let id = done.reply_to;
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let Some(Parked {
            reply: ReplyAs::Http(reply),
            ..
        }) = conn.parked.take().map(|parked| *parked)
        else {
            return;
        };
        self.wide = false;
        self.respond_file(&reply.meta, done);
        self.resume(id);
    }

    fn respond_file(&mut self, meta: &Meta, done: &FileDone) {
        let mime = match done.status {
            404 => BARE_TYPE,
            _ => done.mime,
        };
        let headers = [
            ("ETag", &*done.etag),
            ("Content-Security-Policy", done.policy),
        ];
        let headers: Vec<_> = headers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        self.respond(
            done.reply_to,
            meta,
            done.status,
            mime,
            true,
            &headers,
            &done.body,
        );
    }
}
