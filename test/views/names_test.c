/* names_test.c - names of functions: demangled, without parameters, condensed, and which of them are wrappers.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "names/names.h"

static void must_read(const char *linkage, const char *expected)
{
    char *name = name_readable(linkage);
    assert_string_equal(name, expected);
    free(name);
}

static void test_readable(void **state)
{
    (void)state;
    must_read("main", "main");
    must_read("_not_mangled", "_not_mangled");
    must_read("_ZN4shop4keepEm", "shop::keep");
    must_read("_ZnwmRKSt9nothrow_t", "operator new");
    must_read("_ZNK4shop3BoxISt6vectorIiSaIiEEEclEi", "shop::Box<std::vector<int, std::allocator<int> > >::operator()");
    must_read("_ZN4shoplsIiEERSoS1_RKT_", "shop::operator<< <int>");
    must_read("_ZN12_GLOBAL__N_14fillEi", "(anonymous namespace)::fill");
    must_read("_ZZ4keepiENKUlvE_clEv", "keep(int)::{lambda()#1}::operator()");
    must_read("_ZN1AcvbEv", "A::operator bool");
    must_read("_Z3addIiET_S0_S0_", "add<int>");
    must_read("_ZL4fillPFviE.constprop.0", "fill");
}

static void test_rust(void **state)
{
    (void)state;
    must_read("_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$8grow_one17h0123456789abcdefE",
              "alloc::raw_vec::RawVec<T,A>::grow_one");
    must_read("_ZN50_$LT$$RF$mut$u20$T$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
              "<&mut T as core::fmt::Write>::write_str");
}

/* By RFC 2603, and names that rustc 1.95 has made. */
static void test_rust_v0(void **state)
{
    (void)state;
    must_read("_RNvC4shop4keep", "shop::keep");
    must_read("_RNvMs4_NtCslNYArtu3iFV_5alloc7raw_vecNtB5_11RawVecInner11finish_growCsjrHSEGnQ3l9_3std",
              "alloc::raw_vec::RawVecInner::finish_grow");
    must_read("_RNvNvNtCslNYArtu3iFV_5alloc3fmt6format12format_inner", "alloc::fmt::format::format_inner");
    must_read("_RINvCs6GmmlP4bgsG_1r5indexyEB2_", "r::index<u64>");
    must_read(
        "_RINvMs6_NtCsgvbsrvnw3yD_9hashbrown3rawINtB6_8RawTableTyINtNtCslNYArtu3iFV_5alloc3vec3VecyEEE14reserve_rehash"
        "NCINvNtB8_3map11make_hasheryBR_NtNtNtCsjrHSEGnQ3l9_3std4hash6random11RandomStateE0ECs6GmmlP4bgsG_1r.llvm.1558",
        "hashbrown::raw::RawTable<(u64, alloc::vec::Vec<u64>)>::reserve_rehash<hashbrown::map::make_hasher<u64, "
        "alloc::vec::Vec<u64>, std::hash::random::RandomState>::{closure#0}>");
    must_read("_RNvXs_C4shopAhj10_NtB4_4Sell4sell", "<[u8; 16] as shop::Sell>::sell");
    must_read("_RNvYRDNtC4shop4SellEL_NtB6_4Sell4sell", "<&dyn shop::Sell as shop::Sell>::sell");
    must_read("_RINvC4shop4callFUKCOhTlEEuE", "shop::call<unsafe extern fn(*mut u8, (i32,))>");
}

/* What is none, or refers to itself, stays as it is. */
static void test_rust_damaged(void **state)
{
    (void)state;
    static const char *const names[] = {"_R",
                                        "_RNvC4shop",
                                        "_RNvC4shop9keep",
                                        "_RB_",
                                        "_RNvB_4keep",
                                        "_RINvC1a1bB2_",
                                        "_RNvC99999999999999999999a",
                                        "_RINvC1a1bTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        must_read(names[i], names[i]);
    assert_true(name_is_opaque("_RB_"));
    assert_false(name_is_opaque("shop::keep"));
}

/* Adds a tuple of twice the type that begins at `before`; where it begins itself. Places count from behind "_R". */
static size_t pair_add(char *name, size_t before)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t own = strlen(name) - 2, number = before - 1;
    char place[3] = {digits[number / 62], digits[number % 62]};
    const char *shortest = number < 62 ? place + 1 : place;
    sprintf(name + strlen(name), "TB%s_B%s_E", shortest, shortest);
    return own;
}

/* Each type has twice the one before: without bounds, forty of them would take for ever. */
static void test_rust_bomb(void **state)
{
    (void)state;
    char name[1024] = "_RINvC1a1bh";
    size_t place = strlen(name) - 3;
    place = pair_add(name, place);
    pair_add(name, place);
    strcat(name, "E");
    must_read(name, "a::b<u8, (u8, u8), ((u8, u8), (u8, u8))>");
    name[strlen(name) - 1] = '\0';
    for (int i = 0; i < 40; i++)
        place = pair_add(name, place);
    strcat(name, "E");
    must_read(name, name);
}

static void must_condense(const char *name, size_t width, const char *expected)
{
    char text[256];
    memset(text, 'x', sizeof text);
    name_condense(text, width, name);
    assert_string_equal(text, expected);
    assert_int_equal(text[width + 1], 'x');
}

static void test_condensed(void **state)
{
    (void)state;
    must_condense("main", 10, "main");
    must_condense("std::vector<std::pair<int, int> >::push_back", 80, "std::vector<std::pair<int, int> >::push_back");
    must_condense("std::vector<std::pair<int, int> >::push_back", 30, "std::vector<>::push_back");
    must_condense("std::vector<std::pair<int, int> >::push_back", 20, "vector<>::push_back");
    must_condense("std::vector<std::pair<int, int> >::push_back", 8, "push_b..");
    must_condense("shop::operator<< <int>", 20, "shop::operator<< <>");
    must_condense("<alloc::vec::Vec<T> as core::clone::Clone>::clone", 45,
                  "<alloc::vec::Vec<> as core::clone::Clone>::..");
    must_condense("a\033[31mb", 10, "a?[31mb");
    must_condense("unbalanced<", 5, "unb..");
}

static void test_wrappers(void **state)
{
    (void)state;
    static const char *const wrappers[] = {"malloc",
                                           "operator new",
                                           "operator new[]",
                                           "xmalloc",
                                           "g_malloc0",
                                           "PyMem_RawMalloc",
                                           "strdup",
                                           "std::__new_allocator<int>::allocate",
                                           "std::vector<int, std::allocator<int> >::_M_realloc_insert<int>",
                                           "std::make_shared<shop::Order>",
                                           "alloc::raw_vec::RawVec<T,A>::grow_one"};
    static const char *const others[] = {
        "main", "shop::keep", "malloc_stats_print", "buffer_make", "g_main_loop_run", "dict_new", "standard::allocator",
        "renew"};
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        if (!name_is_wrapper(wrappers[i]))
            fail_msg("%s is a wrapper", wrappers[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (name_is_wrapper(others[i]))
            fail_msg("%s is no wrapper", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readable),     cmocka_unit_test(test_rust),      cmocka_unit_test(test_rust_v0),
        cmocka_unit_test(test_rust_damaged), cmocka_unit_test(test_rust_bomb), cmocka_unit_test(test_condensed),
        cmocka_unit_test(test_wrappers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
