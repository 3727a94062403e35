// Edges and formulas in records: what they lead to, and what contradicts.
#include "replay/support.hpp"

namespace mmsb::replay::test {
namespace {

using log::EdgeEntry;
using log::FormulaEntry;
using log::PageEntry;

/// Three pages, at sequence 1.
class Dependency : public ::testing::Test {
public:
    Dependency() {
        recorder.apply(image, {{.page = a, .size = 8, .created = true, .line = 0},
                               {.page = b, .size = 8, .created = true, .line = 1},
                               {.page = c, .size = 8, .created = true, .line = 2}});
    }
    /// The entries written so far, as one record.
    log::Record record() {
        auto fields = recorder.fields();
        fields.structural = true;
        return recorder.write(fields, std::exchange(body, {}));
    }
    void apply() {
        const auto made = record();
        EXPECT_EQ(image.apply(made), "");
        recorder.accept(made);
        image.check_invariants();
    }
    template <class Entry>
    Dependency& add(const Entry& entry) {
        log::write_entry(entry, body);
        return *this;
    }
    Dependency& add_formula(PageId child, std::string_view function,
                            std::initializer_list<PageId> of) {
        Bytes parents;
        log::write_page_ids(std::vector<PageId>(of), parents);
        return add(FormulaEntry{.child = child, .function = function, .parents = parents});
    }

    const PageId a{1}, b{2}, c{3}, unknown{9};
    Bytes body{};
    Recorder recorder;
    Image image;
};

TEST_F(Dependency, IsWhatTheRecordsSaid) {
    add(EdgeEntry{.parent = a, .child = b, .type = EdgeType::control})
        .add_formula(c, "sum/1", {a, b, a})
        .apply();
    const auto& all = image.dependencies();
    EXPECT_EQ(all.edges, (std::set<Edge>{{a, b, EdgeType::control}}));
    EXPECT_EQ(all.formulas.at(c), (Formula{"sum/1", {}, {a, b, a}}));
    EXPECT_TRUE(image.info(c, *image.find(c)).derived);
    add_formula(c, "sum/2", {b}).apply();
    EXPECT_EQ(all.formulas.at(c).parents, std::vector{b});
    const Image copy = image;
    add(EdgeEntry{.parent = a, .child = b, .type = EdgeType::control, .added = false})
        .add(FormulaEntry{.child = c, .added = false})
        .apply();
    EXPECT_TRUE(all.empty());
    EXPECT_EQ(copy.dependencies().formulas.size(), 1U);
    EXPECT_EQ(first_difference(copy, image)->what, "dependencies");
}

TEST_F(Dependency, MayBeOfPagesThatTheSameRecordMakes) {
    add(PageEntry{.page = unknown, .size = 8, .created = true, .line = 5})
        .add_formula(unknown, "f/1", {a})
        .add(EdgeEntry{.parent = unknown, .child = b})
        .apply();
    EXPECT_EQ(image.dependencies().edges.size(), 1U);
    add(PageEntry{.page = unknown, .deleted = true})
        .add(FormulaEntry{.child = unknown, .added = false})
        .add(EdgeEntry{.parent = unknown, .child = b, .added = false})
        .apply();
    EXPECT_TRUE(image.dependencies().empty());
}

TEST_F(Dependency, ThatContradictsIsRefused) {
    const auto refused = [&](std::string_view why) { expect_refused(image, record(), why); };
    add(EdgeEntry{.parent = a, .child = unknown});
    refused("page 9 is not there");
    add(EdgeEntry{.parent = unknown, .child = a});
    refused("page 9 is not there");
    add_formula(a, "f/1", {b, unknown});
    refused("page 9 is not there");
    add_formula(unknown, "f/1", {b});
    refused("page 9 is not there");
    add(EdgeEntry{.parent = a, .child = b, .added = false});
    refused("the edge from page 1 to page 2 is not there");
    add(FormulaEntry{.child = a, .added = false});
    refused("page 1 has no formula");
    add_formula(a, "f/1", {b}).add(FormulaEntry{.child = a, .added = false});
    refused("named twice");
    add(EdgeEntry{.parent = a, .child = b}).add(EdgeEntry{.parent = a, .child = b});
    refused("named twice");
    add(PageEntry{.page = b, .deleted = true}).add(EdgeEntry{.parent = a, .child = b});
    refused("page 2 is not there");
    apply();  // nothing at all
}

TEST_F(Dependency, AndStalenessMakeImagesDiffer) {
    Image other = image;
    add(PageEntry{.page = b, .size = 8, .stale = true}).apply();
    EXPECT_TRUE(image.find(b)->stale);
    other.set_position(image.sequence(), image.time_ns(), image.lsn(), image.next_page());
    EXPECT_EQ(first_difference(other, image)->page, b);
    add(PageEntry{.page = b, .size = 8}).apply();
    EXPECT_FALSE(image.find(b)->stale);
    EXPECT_FALSE(other.set_dependencies({{{a, unknown, EdgeType::data}}, {}}));
    EXPECT_TRUE(other.set_dependencies({{{a, c, EdgeType::data}}, {}}));
    EXPECT_TRUE(first_difference(other, image));
}

}  // namespace
}  // namespace mmsb::replay::test
