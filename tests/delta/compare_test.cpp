#include "delta/compare.hpp"

#define HWY_WANT_AVX3_DL  // as the room does
#include "delta/dispatch.hpp"
#include "delta/pages.hpp"
#include "delta/windows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>

namespace {

using namespace mmsb::delta;
using namespace mmsb::delta::test;

/// Runs `fn` once for each instruction set that this machine and this build have, and for the one
/// that all have.
template <class F>
void on_every_target(F&& fn) {
    const auto supported = supported_targets();
    std::vector<std::int64_t> all{0};
    for (const auto target : targets)
        if ((supported & target) != 0) all.push_back(target);
    for (const auto target : all) {
        use_targets(target);
        SCOPED_TRACE(name_of_target(target));
        if (target != 0) {
            EXPECT_EQ(compare_target(), target) << "another one ran";
        }
        fn();
    }
    use_targets(supported);
    if (supported != 0) {
        EXPECT_EQ(compare_target(), supported & -supported) << "the best one is not the default";
    }
}

TEST(Targets, AreThoseThatHighwayFinds) {
    std::int64_t known = 0;
    for (const auto target : targets) known |= target & static_cast<std::int64_t>(HWY_TARGETS);
    EXPECT_EQ(supported_targets(), hwy::SupportedTargets() & known);
}

/// On the heap, exactly as large as it says, so that the address sanitizer sees a read beyond.
struct Exact {
    explicit Exact(std::size_t size, std::size_t shift = 0)
        : all(new std::byte[size + shift]), data(all.get() + shift) {}
    std::unique_ptr<std::byte[]> all;
    std::byte* data;
};

void expect_same_masks(const std::byte* before, const std::byte* after, std::size_t size) {
    std::vector<std::uint64_t> expected((size + 63) / 64), found(expected.size(), ~0ULL);
    const auto plain = compare_scalar(before, after, size, expected.data());
    ASSERT_EQ(compare(before, after, size, found.data()), plain) << size;
    ASSERT_EQ(found, expected) << size;
    ASSERT_EQ(equal(before, after, size), plain == 0) << size;
}

TEST(CompareScalar, SetsABitForEachByteThatDiffers) {
    const Bytes before(130, std::byte{1});
    auto after = before;
    for (const std::size_t i : {0U, 63U, 64U, 129U}) change(after, i);
    std::array<std::uint64_t, 3> masks{};
    EXPECT_EQ(compare_scalar(before.data(), after.data(), 130, masks.data()), 4U);
    EXPECT_EQ(masks[0], 1ULL | 1ULL << 63U);
    EXPECT_EQ(masks[1], 1ULL);
    EXPECT_EQ(masks[2], 2ULL);
}

TEST(Compare, RunsOnTheTargetThatItIsTold) {
    int targets = 0;
    on_every_target([&targets] { ++targets; });
    RecordProperty("targets", targets);
#if defined(__x86_64__)
    EXPECT_GE(targets, 2) << "only one instruction set was tested";
#endif
}

TEST(Compare, AgreesWithTheScalarTwinForEverySizeAndPattern) {
    on_every_target([] {
        Random random(11);
        for (const auto size : sizes()) {
            const auto before = random_bytes(size, random);
            for (const auto pattern : patterns) {
                const auto after = changed(before, pattern, random);
                const Exact a(size), b(size);
                std::copy(before.begin(), before.end(), a.data);
                std::copy(after.begin(), after.end(), b.data);
                expect_same_masks(a.data, b.data, size);
                if (HasFatalFailure()) return;
            }
        }
    });
}

TEST(Compare, AgreesWithTheScalarTwinAtEveryAlignment) {
    on_every_target([] {
        Random random(12);
        for (std::size_t shift_a = 0; shift_a < 65; ++shift_a) {
            for (std::size_t shift_b = 0; shift_b < 65; shift_b += 1 + shift_a % 3) {
                const auto size = random() % 200;
                const auto before = random_bytes(size, random);
                const auto after = changed(before, Pattern::dense, random);
                const Exact a(size, shift_a), b(size, shift_b);
                std::copy(before.begin(), before.end(), a.data);
                std::copy(after.begin(), after.end(), b.data);
                expect_same_masks(a.data, b.data, size);
                if (HasFatalFailure()) return;
            }
        }
    });
}

TEST(Compare, SeesEachSingleBitOfAWindow) {
    on_every_target([] {
        const Bytes before(64, std::byte{0});
        for (std::size_t bit = 0; bit < 512; ++bit) {
            auto after = before;
            after[bit / 8] = static_cast<std::byte>(1U << bit % 8);
            std::uint64_t mask = 0;
            ASSERT_EQ(compare(before.data(), after.data(), 64, &mask), 1U);
            ASSERT_EQ(mask, std::uint64_t{1} << bit / 8);
        }
    });
}

TEST(Collect, FindsTheWindowsAndRunsOfPartsThatTouchOrNot) {
    on_every_target([] {
        for (std::uint64_t seed = 0; seed < mmsb::test::cases(3000U, 800U); ++seed) {
            SCOPED_TRACE(seed);
            Random random(seed);
            const auto before = random_bytes(1 + random() % 1600, random);
            const auto after =
                changed(before, *(patterns.begin() + random() % patterns.size()), random);
            const auto expect = random() % 2 == 0 ? Expect::any : Expect::few;
            std::vector<std::size_t> cuts;
            for (auto i = random() % 4; i != 0; --i) cuts.push_back(random() % before.size());
            std::sort(cuts.begin(), cuts.end());

            Tally tally;
            Bytes rebuilt = before;
            std::uint64_t windows = 0;
            for (const auto& part : parts_of(before, after, cuts)) {
                std::vector<Window> found((part.after.size() + 63) / 64 + 1);
                found.resize(collect(part, expect, found.data(), tally));
                windows += found.size();
                for (const auto& w : found) {
                    ASSERT_NE(w.mask, 0U);
                    for (auto mask = w.mask; mask != 0; mask &= mask - 1) {
                        const auto bit = static_cast<std::size_t>(std::countr_zero(mask));
                        ASSERT_NE(rebuilt[w.offset + bit], w.after[bit]);
                        rebuilt[w.offset + bit] = w.after[bit];
                    }
                }
            }
            ASSERT_EQ(rebuilt, after);
            ASSERT_EQ(tally.changed, count_changed(before, after));
            ASSERT_EQ(tally.runs, plain_runs(before, after).size());
            ASSERT_EQ(tally.windows, windows);
        }
    });
}

// Between a run that ends with a block and one that begins with a later one lies what is passed
// over.
TEST(Collect, CountsRunsOnBothSidesOfWhatIsTheSame) {
    on_every_target([] {
        const Bytes before(1024, std::byte{0});
        auto after = before;
        after[255] = after[512] = std::byte{1};
        std::array<Window, 16> found;
        Tally tally;
        const Part part{0, before, after};
        ASSERT_EQ(collect(part, Expect::few, found.data(), tally), 2U);
        EXPECT_EQ(tally.runs, 2U);
    });
}

}  // namespace
