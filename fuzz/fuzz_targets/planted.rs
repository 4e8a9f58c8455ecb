//! A fault that only a fuzzer which sees coverage finds: blind, one input in 2^48. `run.sh` fails if it is not found.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let says = |at: usize, byte: u8| input.get(at) == Some(&byte);
    // One branch each: how often a loop turns is told apart only roughly.
    if says(0, b'r')
        && says(1, b'i')
        && says(2, b'p')
        && says(3, b'p')
        && says(4, b'l')
        && says(5, b'e')
    {
        panic!("the planted fault");
    }
});
