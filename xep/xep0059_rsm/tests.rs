//! Pages of lists in memory; those of archives are tested where archives are.

use kim_core::error::Fault;

use super::api::{Asked, page_of};

fn page(max: Option<usize>, after: Option<&str>, before: Option<&str>) -> Result<Vec<u32>, Fault> {
    let asked = Asked {
        max,
        after: after.map(str::to_owned),
        before: before.map(str::to_owned),
    };
    let all: Vec<u32> = (1..=9).collect();
    let (page, given) = page_of(&all, u32::to_string, &asked, 4, 5)?;
    assert_eq!(given.count, Some(9));
    let ends = page.first().zip(page.last());
    assert_eq!(
        given.ends,
        ends.map(|(first, last)| (first.to_string(), last.to_string()))
    );
    Ok(page.to_vec())
}

#[test]
fn a_list_is_read_forwards_and_backwards() {
    assert_eq!(page(Some(3), None, None).unwrap(), [1, 2, 3]);
    assert_eq!(page(Some(3), Some("3"), None).unwrap(), [4, 5, 6]);
    assert_eq!(page(Some(3), Some("8"), None).unwrap(), [9]);
    assert_eq!(page(Some(3), Some("9"), None).unwrap(), [0; 0]);
    // §2.5, §2.3
    assert_eq!(page(Some(3), None, Some("")).unwrap(), [7, 8, 9]);
    assert_eq!(page(Some(3), None, Some("3")).unwrap(), [1, 2]);
}

#[test]
fn nobody_gets_more_than_there_may_be_in_a_page() {
    assert_eq!(page(None, None, None).unwrap().len(), 4);
    assert_eq!(page(Some(100), None, None).unwrap().len(), 5);
    // §2.7: only the count.
    assert_eq!(page(Some(0), None, None).unwrap(), [0; 0]);
}

#[test]
fn an_id_that_is_not_there_is_not_found() {
    assert!(page(None, Some("10"), None).is_err());
    assert!(page(None, None, Some("0")).is_err());
    // Nothing is between them.
    assert_eq!(page(None, Some("5"), Some("2")).unwrap(), [0; 0]);
}
