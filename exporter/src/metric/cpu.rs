use super::families;

families! {}
