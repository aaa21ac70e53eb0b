//! Binary of Confab. All code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    confab::cli::main()
}
