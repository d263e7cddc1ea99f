//! The call protocol: action names, parameters, answers and their shapes (contract 1). Pure;
//! what a call does is decided in [`crate::state`].

pub mod answer;
pub mod callback;
pub mod error;
pub mod expression;
pub mod masked;
pub mod name;
pub mod number;
pub mod options;
pub mod param;
pub mod reference;
pub mod shape;
pub mod source;
pub mod time;
pub mod timer;
pub mod tuples;
pub mod xml;
