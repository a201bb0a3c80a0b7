//! Black-box tests against real MongoDB deployments; each module opens with its goal and
//! its method.
