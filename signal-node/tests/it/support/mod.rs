//! Real servers on free ports of loopback, ended with the test that started them.

pub(crate) mod redis;
