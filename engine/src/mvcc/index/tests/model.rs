//! A plain map of versions that keeps the promises of the index.

use std::collections::BTreeMap;

use super::*;

/// Everything the index promises, done the slow way.
#[derive(Clone, Default)]
pub struct Model {
    pub keys: BTreeMap<Vec<u8>, Vec<Version>>,
    pub compacted: i64,
    pub rev: i64,
}

impl Model {
    pub fn at(&self, key: &[u8], rev: i64) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let newest = versions.iter().rev().find(|v| v.revision.main <= rev)?;
        (!newest.is_delete()).then_some(newest)
    }

    pub fn scan(&self, range: &KeyRange, rev: i64) -> Vec<(&[u8], &Version)> {
        let keys = self.keys.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((&key[..], self.at(key, rev)?)))
            .collect()
    }

    pub fn changes(&self) -> Vec<(Revision, &[u8])> {
        let mut all: Vec<_> = self
            .keys
            .iter()
            .flat_map(|(key, versions)| versions.iter().map(|v| (v.revision, &key[..])))
            .collect();
        all.sort_unstable();
        all
    }

    pub fn compact(&mut self, rev: i64) -> Vec<PageSlot> {
        self.compacted = rev;
        let mut dropped = Vec::new();
        for versions in self.keys.values_mut() {
            let newest = versions.iter().rposition(|v| v.revision.main <= rev);
            let mut place = 0;
            versions.retain(|v| {
                let keep = match newest {
                    Some(newest) if place < newest => false,
                    Some(newest) if place == newest => !v.is_delete() || v.revision.main == rev,
                    _ => true,
                };
                place += 1;
                if let (false, Value::Sealed(slot)) = (keep, &v.value) {
                    dropped.push(*slot);
                }
                keep
            });
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        dropped
    }

    pub fn drop_above(&mut self, rev: i64) {
        self.rev = rev;
        self.keys
            .values_mut()
            .for_each(|versions| versions.retain(|v| v.revision.main <= rev));
        self.keys.retain(|_, versions| !versions.is_empty());
    }
}
