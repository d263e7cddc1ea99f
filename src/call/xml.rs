//! Answers as XML (`retfn=xml`), as the original wrote them.
