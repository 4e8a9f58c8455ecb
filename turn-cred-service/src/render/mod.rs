//! Response formats. A new one is a file here and its routes in `http`.

pub mod cloudflare;
pub mod draft;
pub mod native;

#[cfg(test)]
mod fixture;
