//! What threads say to each other: plain owned data, each naming where its reply goes.
